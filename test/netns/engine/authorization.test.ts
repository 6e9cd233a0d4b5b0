import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { authorizationPolicy, peerAuthentication, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint, wasReset } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

type Caller = 'near' | 'far' | 'guest' | 'outside';
/** Every way into the server: from its node, from the other one, from another namespace, and in the clear. */
const callers: readonly Caller[] = ['near', 'far', 'guest', 'outside'];
const failed = 'istio_tcp_connections_failed_total';
const strict = 'istio-system/istio_converted_static_strict';

interface Case {
  readonly manifests: readonly Manifest[];
  /** Who gets in at 8080 and, where it differs, at 8081. */
  readonly admits: readonly Caller[];
  readonly admitsAt8081?: readonly Caller[];
  /** The policies that the log blames; null: none by name, since none allowed. */
  readonly blames?: string | null | readonly (string | null)[];
}

const toServer = { selector: { matchLabels: { app: 'server' } } };

function allow(rules: readonly unknown[]): Manifest {
  return authorizationPolicy('shop', 'only', { ...toServer, action: 'ALLOW', rules });
}

function deny(rules: readonly unknown[]): Manifest {
  return authorizationPolicy('shop', 'not', { ...toServer, action: 'DENY', rules });
}

const from = (source: Readonly<Record<string, readonly string[]>>): unknown => ({ from: [{ source }] });
const to = (operation: Readonly<Record<string, readonly string[]>>): unknown => ({ to: [{ operation }] });
const members: readonly Caller[] = ['near', 'far', 'guest'];

const authentication: Readonly<Record<string, Case>> = {
  'by default': { manifests: [], admits: callers },
  'PERMISSIVE for the mesh': { manifests: [peerAuthentication('istio-system', 'PERMISSIVE')], admits: callers },
  'STRICT for the mesh': {
    manifests: [peerAuthentication('istio-system', 'STRICT')],
    ...{ admits: members, blames: strict },
  },
  'STRICT for the namespace': {
    manifests: [peerAuthentication('shop', 'STRICT')],
    ...{ admits: members, blames: strict },
  },
  'STRICT for another namespace': { manifests: [peerAuthentication('guests', 'STRICT')], admits: callers },
  'PERMISSIVE for the namespace in a STRICT mesh': {
    manifests: [peerAuthentication('istio-system', 'STRICT'), peerAuthentication('shop', 'PERMISSIVE')],
    admits: callers,
  },
  'STRICT for the workload': {
    manifests: [peerAuthentication('shop', 'STRICT', 'one', toServer)],
    ...{ admits: members, blames: strict },
  },
  'STRICT for another workload': {
    manifests: [peerAuthentication('shop', 'STRICT', 'one', { selector: { matchLabels: { app: 'near' } } })],
    admits: callers,
  },
  'DISABLE for the workload in a STRICT namespace': {
    manifests: [peerAuthentication('shop', 'STRICT'), peerAuthentication('shop', 'DISABLE', 'one', toServer)],
    admits: callers,
  },
  'STRICT for one port of a PERMISSIVE workload': {
    manifests: [
      peerAuthentication('shop', 'PERMISSIVE', 'one', { ...toServer, portLevelMtls: { 8081: { mode: 'STRICT' } } }),
    ],
    ...{ admits: callers, admitsAt8081: members, blames: 'shop/converted_peer_authentication_one' },
  },
  'PERMISSIVE for one port of a STRICT workload': {
    manifests: [
      peerAuthentication('shop', 'STRICT', 'one', { ...toServer, portLevelMtls: { 8081: { mode: 'PERMISSIVE' } } }),
    ],
    ...{ admits: members, admitsAt8081: callers, blames: 'shop/converted_peer_authentication_one' },
  },
};

const authorization: Readonly<Record<string, Case>> = {
  'ALLOW one principal': {
    manifests: [allow([from({ principals: ['cluster.local/ns/shop/sa/near'] })])],
    ...{ admits: ['near'], blames: null },
  },
  'ALLOW principals by prefix': {
    manifests: [allow([from({ principals: ['cluster.local/ns/shop/*'] })])],
    ...{ admits: ['near', 'far'], blames: null },
  },
  'ALLOW principals by suffix': {
    manifests: [allow([from({ principals: ['*/sa/guest'] })])],
    ...{ admits: ['guest'], blames: null },
  },
  'ALLOW whoever has an identity': {
    manifests: [allow([from({ principals: ['*'] })])],
    ...{ admits: members, blames: null },
  },
  'ALLOW all principals but one': {
    manifests: [allow([from({ notPrincipals: ['cluster.local/ns/shop/sa/near'] })])],
    ...{ admits: ['far', 'guest', 'outside'], blames: null },
  },
  'ALLOW a namespace': {
    manifests: [allow([from({ namespaces: ['guests'] })])],
    ...{ admits: ['guest'], blames: null },
  },
  'ALLOW service accounts': {
    manifests: [allow([from({ serviceAccounts: ['far', 'guests/guest'] })])],
    ...{ admits: ['far', 'guest'], blames: null },
  },
  'ALLOW a block of addresses': {
    manifests: [allow([from({ ipBlocks: ['10.77.2.0/24'] })])],
    ...{ admits: ['far'], blames: null },
  },
  'ALLOW all but a block of addresses': {
    manifests: [allow([from({ notIpBlocks: ['10.77.2.0/24'] })])],
    ...{ admits: ['near', 'guest', 'outside'], blames: null },
  },
  'ALLOW a port': {
    manifests: [allow([to({ ports: ['8081'] })])],
    ...{ admits: [], admitsAt8081: callers, blames: null },
  },
  'ALLOW all but a port': {
    manifests: [allow([to({ notPorts: ['8081'] })])],
    ...{ admits: callers, admitsAt8081: [], blames: null },
  },
  'ALLOW a principal at a port, or a namespace at any': {
    manifests: [
      allow([
        { from: [{ source: { principals: ['*/sa/near'] } }], to: [{ operation: { ports: ['8080'] } }] },
        from({ namespaces: ['guests'] }),
      ]),
    ],
    ...{ admits: ['near', 'guest'], admitsAt8081: ['guest'], blames: null },
  },
  'ALLOW nothing': {
    manifests: [authorizationPolicy('shop', 'nothing', {})],
    ...{ admits: [], blames: null },
  },
  'ALLOW what only HTTP would show, which L4 never sees': {
    manifests: [allow([to({ methods: ['GET'] })])],
    ...{ admits: [], blames: null },
  },
  'DENY one principal': {
    manifests: [deny([from({ principals: ['cluster.local/ns/shop/sa/near'] })])],
    ...{ admits: ['far', 'guest', 'outside'], blames: 'shop/not' },
  },
  'DENY whoever has no identity': {
    manifests: [deny([from({ notPrincipals: ['*'] })])],
    ...{ admits: members, blames: 'shop/not' },
  },
  'DENY a namespace': {
    manifests: [deny([from({ namespaces: ['shop'] })])],
    ...{ admits: ['guest', 'outside'], blames: 'shop/not' },
  },
  'DENY a service account': {
    manifests: [deny([from({ serviceAccounts: ['shop/far'] })])],
    ...{ admits: ['near', 'guest', 'outside'], blames: 'shop/not' },
  },
  'DENY a block of addresses': {
    manifests: [deny([from({ ipBlocks: ['10.77.1.0/24'] })])],
    ...{ admits: ['far'], blames: 'shop/not' },
  },
  'DENY a port': {
    manifests: [deny([to({ ports: ['8081'] })])],
    ...{ admits: callers, admitsAt8081: [], blames: 'shop/not' },
  },
  'DENY before ALLOW': {
    manifests: [deny([from({ namespaces: ['guests'] })]), allow([from({ principals: ['*'] })])],
    ...{ admits: ['near', 'far'], blames: ['shop/not', null] },
  },
  'DENY for the whole mesh': {
    manifests: [
      authorizationPolicy('istio-system', 'wide', { action: 'DENY', rules: [from({ namespaces: ['guests'] })] }),
    ],
    ...{ admits: ['near', 'far', 'outside'], blames: 'istio-system/wide' },
  },
  'DENY in another namespace': {
    manifests: [authorizationPolicy('guests', 'theirs', { action: 'DENY', rules: [{}] })],
    admits: callers,
  },
};

rootSuite('authorization', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { server: 0, near: 0, guest: 0, outside: 0, far: 1 },
      members: {
        server: { namespace: 'shop' },
        near: { namespace: 'shop' },
        far: { namespace: 'shop' },
        guest: { namespace: 'guests' },
      },
      documents: [
        service({
          ...{ name: 'server', namespace: 'shop', vips: ['10.96.0.9'] },
          ...{ ports: { 80: 8080 }, selector: { app: 'server' } },
        }),
      ],
      servers: { server: ['whoami@[::]:8080', 'whoami@[::]:8081', 'echo@[::]:8082'] },
    });
  });
  after(() => mesh.remove());

  const reach = (caller: Caller, port: number): Promise<CallResult> =>
    call(mesh.netns(caller), mesh.at('server', port));

  async function admitted(port: number): Promise<readonly Caller[]> {
    const results = await Promise.all(callers.map(async (caller) => [caller, await reach(caller, port)] as const));
    for (const [caller, result] of results)
      assert.ok(result.ok || wasReset(result), `${caller}: ${JSON.stringify(result)}`);
    return results.flatMap(([caller, { ok }]) => (ok ? [caller] : []));
  }

  async function check({ manifests, admits, admitsAt8081 = admits, blames }: Case): Promise<void> {
    const run = async (): Promise<void> => {
      const denied = { response_flags: 'DENY', reporter: 'destination', destination_workload: 'server' };
      const before = (await mesh.agent(0).accessLog()).length;
      const [ports, grown] = await mesh.growth(0, failed, denied, async () => [
        await admitted(8080),
        await admitted(8081),
      ]);
      assert.deepEqual(ports, [admits, admitsAt8081]);
      const refusals = 2 * callers.length - admits.length - admitsAt8081.length;
      assert.equal(grown, refusals, 'each refusal is counted at the destination');
      if (refusals === 0) return;
      const told = async () => findLines((await mesh.agent(0).accessLog()).slice(before), { error: /denied/ });
      await waitFor(async () => (await told()).length >= refusals, { what: `${refusals} refusals in the log` });
      const inbound = (await told()).filter((line) => line['direction'] === 'inbound');
      assert.deepEqual(new Set(inbound.map((line) => line['policy'] ?? null)), new Set([blames ?? null].flat()));
    };
    await (manifests.length === 0 ? run() : mesh.under(manifests, run));
  }

  describe('PeerAuthentication', () => {
    for (const [what, expected] of Object.entries(authentication)) it(what, () => check(expected));
  });

  describe('AuthorizationPolicy', () => {
    for (const [what, expected] of Object.entries(authorization)) it(what, () => check(expected));
  });

  it('holds for what comes by a virtual address, at the port of the server', async () => {
    await mesh.under([deny([to({ ports: ['8080'] })])], async () => {
      assert.equal((await call(mesh.netns('far'), endpoint('10.96.0.9', 80))).ok, false);
    });
    await mesh.under([deny([to({ ports: ['80'] })])], async () => {
      assert.equal((await call(mesh.netns('far'), endpoint('10.96.0.9', 80))).ok, true);
    });
  });

  it('follows edits for new connections: each caller is let in or not by what holds now', async () => {
    for (let round = 0; round < 3; round++) {
      await mesh.apply('turn', [deny([from({ namespaces: ['shop'] })])]);
      assert.deepEqual(await admitted(8080), ['guest', 'outside']);
      await mesh.apply('turn', [deny([from({ namespaces: ['guests'] })])]);
      assert.deepEqual(await admitted(8080), ['near', 'far', 'outside']);
    }
    await mesh.retract('turn');
    assert.deepEqual(await admitted(8080), callers);
  });
});
