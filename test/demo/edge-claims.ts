import assert from 'node:assert/strict';

import { gateway, gatewayRoute, httpListener, httpsListener, tlsSecret } from '../support/gateways/documents.ts';
import { Edge, fingerprintOf } from '../support/gateways/edge.ts';
import { peerAuthentication } from '../support/manifests.ts';
import { call } from '../support/testkit.ts';
import { shop, toVersion } from '../support/waypoints/documents.ts';
import { serverPorts } from '../support/waypoints/ports.ts';
import type { Claim } from './table.ts';

const host = 'shop.example.com';

/** A door of the mesh, with the shop behind it and a browser before it. */
export async function openEdge(): Promise<Edge> {
  const redirect = { filters: [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https', statusCode: 301 } }] };
  const edge = await Edge.open({
    documents: [
      gateway([httpListener(), httpsListener('shop', host, 'shop')]),
      gatewayRoute('HTTPRoute', 'to-https', [redirect], { hostnames: [host], section: 'http' }),
    ],
  });
  try {
    await edge.mesh.apply('certificate', [tlsSecret('shop', await edge.certificate(host))]);
    await edge.mesh.apply('routes', [canary(0)]);
    await edge.untilStatus('200', host, { roots: edge.authority.roots });
    return edge;
  } catch (error) {
    await edge.close();
    throw error;
  }
}

/** What a gateway does with requests from outside of the mesh. */
export function edgeClaims(edge: Edge): readonly Claim[] {
  return [
    { name: 'browser over HTTPS, HTTP/2', prove: () => proveHttps(edge) },
    { name: 'canary from the edge', prove: () => proveCanary(edge) },
    { name: 'certificate rotated under load', prove: () => proveRotation(edge) },
  ];
}

function canary(weight: number) {
  const backendRefs = [toVersion('v1', 100 - weight), toVersion('v2', weight)];
  return gatewayRoute('HTTPRoute', 'shop', [{ backendRefs }], { hostnames: [host], section: 'shop' });
}

/** The shop itself takes nothing but mutual TLS; who browses knows of no mesh. */
async function proveHttps(edge: Edge): Promise<string> {
  const { roots } = edge.authority;
  return edge.mesh.under([peerAuthentication(shop, 'STRICT')], async () => {
    const past = edge.mesh.at('web-v1', serverPorts.web);
    await edge.until('STRICT', async () => !(await call(edge.mesh.netns('visitor'), past)).ok);
    const { statuses, headers } = await edge.ask(host);
    assert.deepEqual(statuses, { 301: 1 });
    const browsed = await edge.ask(host, { roots, http2: true, count: 50 });
    assert.deepEqual(browsed.statuses, { 200: 50 });
    return `http: 301 to ${String(headers['location'])}; https: 50 of 50 got 200, while the shop takes nothing but mutual TLS`;
  });
}

async function proveCanary(edge: Edge): Promise<string> {
  const { roots } = edge.authority;
  await edge.mesh.apply('routes', [canary(20)]);
  await edge.until('the canary', async () => ((await edge.ask(host, { roots, count: 40 })).servers['v2'] ?? 0) > 0);
  const { servers, failures } = await edge.ask(host, { roots, count: 500, concurrency: 8 });
  const { v1 = 0, v2 = 0 } = servers;
  assert.deepEqual([failures, v1 + v2], [{}, 500]);
  // Six standard deviations of 500 throws at a fifth: 54.
  assert.ok(v2 > 46 && v2 < 154, `v2 had ${v2} of 500`);
  return `weights 80/20; of 500 requests from outside v1 had ${v1}, v2 ${v2}`;
}

async function proveRotation(edge: Edge): Promise<string> {
  const { roots } = edge.authority;
  const passing = edge.ask(host, { roots, duration: 4_000, concurrency: 4 });
  const begun = Date.now();
  const certificate = await edge.certificate(host);
  await edge.mesh.apply('certificate', [tlsSecret('shop', certificate)]);
  await edge.until('the next certificate', async () => {
    const { certificates } = await edge.ask(host, { roots, keepAlive: false });
    return certificates[fingerprintOf(certificate)] === 1;
  });
  const took = Date.now() - begun;
  const { statuses, failures, requests, connections } = await passing;
  assert.deepEqual([failures, statuses, connections], [{}, { 200: requests }, 4]);
  return `new connections saw it after ${took} ms; ${requests} requests on 4 connections meanwhile, none lost, none reopened`;
}
