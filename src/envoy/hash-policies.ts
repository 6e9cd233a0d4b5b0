import type { RouteAction_HashPolicySchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { HashPolicySchema } from '../proto/gen/envoy-api/envoy/type/v3/hash_policy_pb.ts';
import type { HashKey, TrafficPolicy } from './model.ts';
import { duration, given } from './values.ts';
import type { Init } from './values.ts';

/** Envoy hashes on the route, Istio says it of the destination: a route has the keys of all that it sends to. */
export function requestHash(policies: readonly TrafficPolicy[]): readonly Init<typeof RouteAction_HashPolicySchema>[] {
  const keys = policies.flatMap(({ balancer }) => (balancer.kind === 'hash' ? [balancer.key] : []));
  const different = new Map(keys.map((key) => [JSON.stringify(key), key]));
  return [...different.values()].map(hashPolicy);
}

/** Of a connection only its source is known. */
export function connectionHash(policies: readonly TrafficPolicy[]): readonly Init<typeof HashPolicySchema>[] {
  const hashed = policies.some(({ balancer }) => balancer.kind === 'hash' && balancer.key.kind === 'source-address');
  return hashed ? [{ policySpecifier: { case: 'sourceIp', value: {} } }] : [];
}

function hashPolicy(key: HashKey): Init<typeof RouteAction_HashPolicySchema> {
  switch (key.kind) {
    case 'header':
      return { policySpecifier: { case: 'header', value: { headerName: key.name } } };
    case 'query':
      return { policySpecifier: { case: 'queryParameter', value: { name: key.name } } };
    case 'source-address':
      return { policySpecifier: { case: 'connectionProperties', value: { sourceIp: true } } };
    case 'cookie': {
      const ttl = given(key.ttl, duration);
      const value = { name: key.name, path: key.path, ...(ttl === undefined ? {} : { ttl }) };
      return { policySpecifier: { case: 'cookie', value } };
    }
  }
}
