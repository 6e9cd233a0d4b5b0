import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import {
  gateway,
  gatewayRoute,
  httpListener,
  httpsListener,
  ingress,
  ingressesAtEdge,
  tlsSecret,
} from '../../support/gateways/documents.ts';
import { Edge, fingerprintOf, startTlsServer } from '../../support/gateways/edge.ts';
import { edgePorts, tlsServerPort } from '../../support/gateways/ports.ts';
import { appLabel, peerAuthentication, service } from '../../support/manifests.ts';
import { sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { marked, shop, toVersion } from '../../support/waypoints/documents.ts';
import { serverPorts, servicePorts } from '../../support/waypoints/ports.ts';

const secureVip = '10.96.77.9';
const listeners = [
  httpListener(),
  httpsListener('secure', 'secure.example.com', 'secure'),
  { name: 'bytes', port: edgePorts.bytes, protocol: 'TCP' },
  { name: 'passthrough', port: edgePorts.passthrough, protocol: 'TLS', tls: { mode: 'Passthrough' } },
];
const toWeb = (port: number) => [{ backendRefs: [{ name: 'web', port }] }];
const routes = [
  gatewayRoute('HTTPRoute', 'one', [{ filters: [marked('one')], backendRefs: [toVersion('v1')] }], {
    hostnames: ['one.example.com'],
  }),
  gatewayRoute('HTTPRoute', 'two', [{ filters: [marked('two')], backendRefs: [toVersion('v2')] }], {
    hostnames: ['*.two.example.com', 'secure.example.com'],
  }),
  gatewayRoute('GRPCRoute', 'rpc', toWeb(servicePorts.rpc), { hostnames: ['rpc.example.com'] }),
  gatewayRoute('TCPRoute', 'bytes', toWeb(servicePorts.bytes), { section: 'bytes' }),
  gatewayRoute('TLSRoute', 'vault', [{ backendRefs: [{ name: 'vault', port: 443 }] }], {
    hostnames: ['vault.example.com'],
    section: 'passthrough',
  }),
];
const vault = service({
  name: 'vault',
  namespace: shop,
  vips: [secureVip],
  ports: { 443: tlsServerPort },
  selector: { [appLabel]: 'vault' },
});

rootSuite('what a gateway takes from outside of the mesh', () => {
  let edge: Edge;
  before(async () => {
    edge = await Edge.open({
      pods: { vault: 1 },
      members: { vault: { namespace: shop, labels: { [appLabel]: 'vault' } } },
      documents: [ingressesAtEdge, gateway(listeners), vault, ingress('open', 'ingress.example.com', 'web'), ...routes],
    });
    await edge.untilStatus('200', 'one.example.com');
  });
  after(() => edge.close());

  it('goes by the host of each request', async () => {
    assert.equal(await edge.mark('one.example.com'), 'one');
    assert.equal(await edge.mark('a.b.two.example.com'), 'two');
    assert.equal(await edge.status('two.example.com'), '404');
    assert.equal(await edge.status('elsewhere.example.com'), '404');
  });

  it('goes by the rules of an Ingress, too', async () => {
    assert.deepEqual((await edge.ask('ingress.example.com', { count: 20 })).statuses, { 200: 20 });
  });

  it('comes in by IPv6', async () => {
    const host = edge.mesh.pod('gateway-a').ipv6;
    assert.deepEqual((await edge.ask('one.example.com', { host })).servers, { v1: 1 });
  });

  it('reaches the mesh with the identity of the gateway, within mutual TLS or without a wire', async () => {
    await edge.ask('one.example.com', { keepAlive: false });
    await edge.ask('a.two.example.com', { keepAlive: false });
    const source_principal = 'spiffe://cluster.local/ns/edge/sa/gateway';
    for (const [place, connection_security_policy] of (['node_local', 'mutual_tls'] as const).entries()) {
      const wanted = { reporter: 'destination', source_principal, connection_security_policy };
      await waitFor(
        async () => sum(await edge.mesh.agent(place).metrics(), 'istio_tcp_connections_opened_total', wanted) > 0,
        { what: `the gateway's connection to node ${place}` },
      );
    }
  });

  it('reaches what takes nothing but mutual TLS, and the gateway itself is taken by nobody else’s STRICT', async () => {
    await edge.mesh.under([peerAuthentication('istio-system', 'STRICT')], async () => {
      const past = edge.mesh.at('web-v1', serverPorts.web);
      await edge.until('STRICT', async () => !(await call(edge.mesh.netns('visitor'), past)).ok);
      assert.deepEqual((await edge.ask('one.example.com', { count: 10, keepAlive: false })).statuses, { 200: 10 });
    });
  });

  it('carries gRPC, as HTTP/2 in clear text', async () => {
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const call = { http2: true, method: 'POST', path: '/shop.Web/Get', headers };
    const { statuses, headers: given } = await edge.ask('rpc.example.com', call);
    assert.deepEqual([statuses, given['content-type']], [{ 200: 1 }, 'application/grpc']);
  });

  it('carries WebSockets', async () => {
    const upgrade = 'GET /ws HTTP/1.1\r\nhost: one.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
    assert.match(await edge.greeting(edgePorts.http, upgrade), /^HTTP\/1\.1 101 /);
  });

  it('carries bytes whose server speaks first', async () => {
    assert.match(await edge.greeting(edgePorts.bytes), /^hello from v[12]$/);
  });

  it('ends TLS with the certificate of the server’s name, once there is one', async () => {
    const { roots } = edge.authority;
    assert.notEqual(await edge.status('secure.example.com', { roots }), '200');
    const certificate = await edge.certificate('secure.example.com');
    await edge.mesh.apply('secure', [tlsSecret('secure', certificate)]);
    await edge.untilStatus('200', 'secure.example.com', { roots });
    for (const http2 of [false, true]) {
      const { certificates, servers, headers } = await edge.ask('secure.example.com', { roots, http2 });
      assert.deepEqual(certificates, { [fingerprintOf(certificate)]: 1 });
      assert.deepEqual([servers, headers['x-routes']], [{ v2: 1 }, 'two']);
    }
    assert.equal(await edge.status('secure.example.com', { roots, serverName: 'one.example.com' }), 'ECONNRESET');
  });

  it('passes TLS through by its name, to a server with a certificate of its own', async () => {
    const certificate = await edge.certificate('vault.example.com');
    await startTlsServer(edge.mesh.netns('vault'), 'vault', certificate);
    const { roots } = edge.authority;
    const wish = { roots, port: edgePorts.passthrough };
    const { servers, certificates } = await edge.ask('vault.example.com', wish);
    assert.deepEqual([servers, certificates], [{ vault: 1 }, { [fingerprintOf(certificate)]: 1 }]);
    assert.equal(await edge.status('vault.example.com', { ...wish, serverName: 'other.example.com' }), 'ECONNRESET');
  });
});
