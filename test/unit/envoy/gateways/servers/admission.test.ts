import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { admittedServers } from '../../../../../src/envoy/gateways/servers/admission.ts';
import type { GatewayServer } from '../../../../../src/envoy/gateways/server.ts';

interface Asked {
  readonly namespace: string;
  readonly kind?: GatewayServer['kind'];
  readonly name?: string;
  /** `bank/*.example` */
  readonly host?: string;
  readonly port?: number;
  readonly created?: number;
  readonly allowed?: GatewayServer['allowed']['namespaces'];
}

function server(asked: Asked): GatewayServer {
  const { namespace, kind = 'IstioGateway', name = 'g', host = '*', port = 80, created = 1, allowed = 'all' } = asked;
  const [space = '', pattern] = host.split('/');
  return {
    resource: `${kind} ${namespace}/${name}`,
    ...{ kind, namespace, name, section: 'one', port, protocol: 'http', tls: null, redirectToHttps: false, created },
    hosts: [pattern === undefined ? { name: space, namespace: null } : { name: pattern, namespace: space }],
    allowed: { namespaces: allowed, kinds: [] },
  };
}

const selectsNamespace = (): boolean => false;

/** `bank *.example:80`, at a gateway of `edge`. */
function admitted(...asked: readonly Asked[]): readonly string[] {
  const { servers } = admittedServers(asked.map(server), 'edge', { selectsNamespace });
  return servers.map(({ namespace, hosts, port }) => `${namespace} ${hosts[0]?.name ?? ''}:${port}`).sort();
}

const wide = { namespace: 'bank', host: 'bank/*.example', created: 1 } as const;
const closer = { namespace: 'shop', host: 'pay.example', created: 2 } as const;

describe('a closer name under another’s wildcard', () => {
  test('is not to be had where that is older and for one namespace', () => {
    assert.deepEqual(admitted(wide, closer), ['bank *.example:80']);
    assert.deepEqual(admitted(wide, { ...closer, host: 'shop/*.pay.example' }), ['bank *.example:80']);
  });

  test('is not to be had on another port', () => {
    assert.deepEqual(admitted(wide, { ...closer, port: 8080 }), ['bank *.example:80']);
  });

  test('is where that takes routes of the namespace', () => {
    assert.equal(admitted({ ...wide, host: '*.example' }, closer).length, 2);
    assert.equal(admitted({ ...wide, host: 'shop/*.example' }, closer).length, 2);
    assert.equal(admitted({ ...wide, host: '*.example', allowed: 'same' }, closer).length, 1);
  });

  test('is where that is younger, and of another namespace than the gateway', () => {
    assert.equal(admitted({ ...wide, created: 3 }, closer).length, 2);
    assert.deepEqual(admitted({ ...wide, namespace: 'edge', created: 3 }, closer), ['edge *.example:80']);
  });

  test('of the gateway’s own namespace stays, whoever has the wildcard', () => {
    assert.equal(admitted(wide, { ...closer, namespace: 'edge' }).length, 2);
  });

  test('is a ListenerSet’s that the Gateway has let in', () => {
    const gateway = { namespace: 'edge', kind: 'Gateway', host: '*.example', allowed: 'same' } as const;
    assert.equal(admitted(gateway, { ...closer, kind: 'ListenerSet' }).length, 2);
    assert.equal(admitted(gateway, closer).length, 1);
  });
});

test('a server for every host is in nobody’s way, but the gateway’s own on its port', () => {
  assert.equal(admitted({ namespace: 'bank', host: 'bank/*' }, closer).length, 2);
  assert.deepEqual(admitted({ namespace: 'edge', host: './*', allowed: 'same' }, closer), ['edge *:80']);
  assert.equal(admitted({ namespace: 'edge', host: 'edge/*' }, { ...closer, port: 8080 }).length, 2);
});

test('a host that was not to be had keeps nobody else from it', () => {
  assert.deepEqual(admitted(wide, closer, { namespace: 'bank', name: 'young', host: 'pay.example', created: 3 }), [
    'bank *.example:80',
    'bank pay.example:80',
  ]);
});

describe('ports of a gateway', () => {
  const some = (namespace: string, count: number, from = 1000, name = 'g') =>
    Array.from({ length: count }, (_, index) => ({ namespace, name, port: from + index }));

  test('are 64 for a namespace that is not its own, and the others are told of', () => {
    const asked = [...some('shop', 60), ...some('shop', 10, 2000, 'h')].map(server);
    const { servers, conflicts } = admittedServers(asked, 'edge', { selectsNamespace });
    assert.equal(servers.length, 64);
    assert.deepEqual(new Set(conflicts.map(({ problem }) => problem.reason)), new Set(['TooManyPorts']));
    assert.equal(conflicts.length, 6);
  });

  test('are 256 in all, those of its own namespace first', () => {
    const tenants = ['a', 'b', 'c', 'd', 'e'].flatMap((name, index) => some(name, 64, 1000 * (index + 1)));
    const own = some('edge', 64, 9000).map((asked) => ({ ...asked, created: 9 }));
    const served = admitted(...tenants, ...own);
    assert.equal(served.length, 256);
    assert.equal(served.filter((text) => text.startsWith('edge ')).length, 64);
  });
});
