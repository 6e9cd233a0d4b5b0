/** Who gets into the server of the authorization suite under which documents. */
import { authorizationPolicy, meshSettings, peerAuthentication } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';

export type Caller = 'near' | 'far' | 'guest' | 'outside';
/** Every way into the server: from its node, from the other one, from another namespace, and in the clear. */
export const callers: readonly Caller[] = ['near', 'far', 'guest', 'outside'];
const strict = 'istio-system/istio_converted_static_strict';

export interface Case {
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

export function deny(rules: readonly unknown[]): Manifest {
  return authorizationPolicy('shop', 'not', { ...toServer, action: 'DENY', rules });
}

function trial(policy: Manifest): Manifest {
  return { ...policy, metadata: { ...policy.metadata, annotations: { 'istio.io/dry-run': 'true' } } };
}

export const from = (source: Readonly<Record<string, readonly string[]>>): object => ({ from: [{ source }] });
export const to = (operation: Readonly<Record<string, readonly string[]>>): object => ({ to: [{ operation }] });
const members: readonly Caller[] = ['near', 'far', 'guest'];

export const authentication: Readonly<Record<string, Case>> = {
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

export const authorization: Readonly<Record<string, Case>> = {
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
  'ALLOW by conditions that L4 knows': {
    manifests: [
      allow([
        {
          when: [
            { key: 'source.namespace', values: ['shop'] },
            { key: 'destination.port', values: ['8080'] },
          ],
        },
      ]),
    ],
    ...{ admits: ['near', 'far'], admitsAt8081: [], blames: null },
  },
  'ALLOW a principal by a method, which L4 cannot see and so never matches': {
    manifests: [allow([{ ...from({ principals: ['*/sa/near'] }), ...to({ methods: ['GET'] }) }])],
    ...{ admits: [], blames: null },
  },
  'DENY a principal by a method: whatever it asks, since L4 cannot tell': {
    manifests: [deny([{ ...from({ principals: ['*/sa/near'] }), ...to({ methods: ['GET'] }) }])],
    ...{ admits: ['far', 'guest', 'outside'], blames: 'shop/not' },
  },
  'DENY by a method alone: everybody, while nobody looks at methods': {
    manifests: [deny([to({ methods: ['GET'] })])],
    ...{ admits: [], blames: 'shop/ambit_unenforceable_not' },
  },
  'DENY by a method alone, where the mesh ignores what it cannot enforce': {
    manifests: [deny([to({ methods: ['GET'] })]), meshSettings({ unenforceable: 'ignore' })],
    admits: callers,
  },
  'DENY as a trial, which is only logged': {
    manifests: [trial(deny([from({ namespaces: ['shop'] })]))],
    admits: callers,
  },
  'DENY in another namespace': {
    manifests: [authorizationPolicy('guests', 'theirs', { action: 'DENY', rules: [{}] })],
    admits: callers,
  },
};
