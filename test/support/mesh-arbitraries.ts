import fc from 'fast-check';
import type { MeshState, RoutingScope, Service, WaypointReference, Workload } from '../../src/model/workload.ts';
import type { Answer, EndpointSet, Question } from '../../src/native/binding.ts';
import { decideInbound } from '../../src/ztunnel/inbound.ts';
import { decideOutbound } from '../../src/ztunnel/outbound.ts';
import type { WorkloadStore } from '../../src/ztunnel/workload-store.ts';
import {
  NODE,
  identity,
  localPod,
  meshSettings,
  meshState,
  policy,
  service,
  serviceKey,
  workload,
} from './mesh-builders.ts';

// Few names and addresses, close together, so that states collide: shared addresses, VIPs that are pods', holes that close.
export const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.129', '10.0.1.1', 'fd00::1', 'fd00::2'];
export const STRANGERS = ['169.254.169.254', '10.0.0.4', '10.0.0.200', '192.168.0.1', 'fd00::3', '2001:db8::1'];
const NAMES = ['a', 'b', 'c', 'd'];
const SERVICES = ['s', 't'];
const POLICIES = ['p', 'q', 'r'];
const PORTS = [80, 8080, 9];

export const serviceKeys = SERVICES.map((name) => serviceKey(service(name)));

/** Of either service, of an address that may be anybody's, and of nobody. */
const anyWaypoint: fc.Arbitrary<WaypointReference | null> = fc.option(
  fc
    .record({
      place: fc.constantFrom(
        ...['s', 't', 'gone'].map((name) => {
          const { namespace, hostname } = service(name);
          return { kind: 'hostname', namespace, hostname, port: 15008 } as const;
        }),
        { kind: 'address', network: '', address: '10.0.0.3', port: 15008 } as const,
        { kind: 'address', network: 'elsewhere', address: '10.0.0.3', port: 15008 } as const,
      ),
      required: fc.boolean(),
      whenUnready: fc.constantFrom('refuse' as const, 'direct' as const),
    })
    .map(({ place, ...terms }) => ({ ...place, ...terms })),
  { nil: null, freq: 1 },
);

const anyWorkload = (name: string): fc.Arbitrary<Workload> =>
  fc
    .record({
      addresses: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 2 }),
      hostname: fc.constantFrom('', '', 'db.example.com'),
      hostNetwork: fc.boolean(),
      namespace: fc.constantFrom('default', 'other'),
      protocol: fc.constantFrom('hbone' as const, 'tcp' as const),
      serviceAccount: fc.constantFrom('x', 'y'),
      node: fc.constantFrom(NODE, 'node-2'),
      zone: fc.constantFrom('z1', 'z2'),
      services: fc.uniqueArray(fc.constantFrom(...serviceKeys), { maxLength: 2 }),
      target: fc.constantFrom(8080, 9),
      authorizationPolicies: fc.uniqueArray(fc.constantFrom('default/p', 'default/q', 'default/gone'), {
        maxLength: 2,
      }),
      status: fc.constantFrom('healthy' as const, 'unhealthy' as const),
      capacity: fc.constantFrom(1, 5),
      selectedByNetworkPolicy: fc.boolean(),
      waypoint: anyWaypoint,
      applicationTunnel: fc.constantFrom(null, null, { protocol: 'proxy' as const, port: 15088 }),
      podUid: fc.constantFrom(`uid-${name}`, `uid-${name}`, null),
    })
    .map(({ zone, services, target, ...rest }) =>
      workload(name, {
        ...rest,
        locality: { region: 'r', zone, subzone: '' },
        services: new Map(services.map((key) => [key, new Map([[80, target]])])),
      }),
    );

const anyService = (name: string) =>
  fc
    .record({
      vips: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 2 }),
      ports: fc.constantFrom(new Map([[80, 8080]]), new Map([[80, 0]]), new Map([[9, 9]])),
      subjectAltNames: fc.constantFrom([], ['spiffe://cluster.local/ns/default/sa/extra']),
      mode: fc.constantFrom('standard' as const, 'strict' as const, 'failover' as const, 'passthrough' as const),
      scopes: fc.constantFrom<RoutingScope[]>([], ['node'], ['region', 'zone']),
      healthPolicy: fc.constantFrom('only-healthy' as const, 'allow-all' as const),
      visibility: fc.constantFrom('public' as const, 'namespace' as const),
      canonical: fc.boolean(),
      waypoint: anyWaypoint,
    })
    .map(({ mode, scopes, healthPolicy, ...rest }) =>
      service(name, { ...rest, loadBalancing: { mode, scopes, healthPolicy } }),
    );

const anyPolicy = (name: string) =>
  fc
    .record({
      scope: fc.constantFrom('global' as const, 'namespace' as const, 'workload-selector' as const),
      action: fc.constantFrom('allow' as const, 'deny' as const),
      condition: fc.constantFrom(
        { sourceIps: ['10.0.0.0/25'] },
        { notSourceIps: ['10.0.0.2/32', 'fd00::/64'] },
        { destinationPorts: [8080] },
        { destinationIps: ['10.0.0.1/32'] },
        { notPrincipals: [{ kind: 'presence' as const }] },
        { principals: [{ kind: 'suffix' as const, value: '/x' }] },
      ),
    })
    .map(({ condition, ...rest }) => policy(name, rest, condition));

const anyMode = fc.constantFrom('ALLOW_ANY' as const, 'REGISTRY_ONLY' as const);
const anyBlocks = fc.subarray(['10.0.0.0/29', '10.0.0.200/32', '192.168.0.0/16', 'fd00::/64', '169.254.169.254/32'], {
  maxLength: 2,
});
const anyOutboundPolicy = fc.record(
  {
    mode: anyMode,
    namespaces: fc.oneof(
      fc.constant({}),
      anyMode.map((other) => ({ other })),
    ),
    allow: anyBlocks,
    refuse: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: anyBlocks }),
  },
  { noNullPrototype: true },
);

const present = <T>(names: readonly string[], make: (name: string) => fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc
    .tuple(...names.map((name) => fc.option(make(name), { nil: null, freq: 3 })))
    .map((values) => values.flatMap((value) => (value === null ? [] : [value])));

export const anyState: fc.Arbitrary<MeshState> = fc
  .record({
    sameNode: fc.constantFrom('auto' as const, 'local' as const, 'tls' as const),
    outboundTrafficPolicy: anyOutboundPolicy,
    workloads: present(NAMES, anyWorkload),
    services: present(SERVICES, anyService),
    policies: present(POLICIES, anyPolicy),
    pods: fc.record({ unwanted: fc.subarray(NAMES), missing: fc.subarray(NAMES, { maxLength: 1 }) }),
  })
  .map(({ sameNode, outboundTrafficPolicy, workloads, services, policies, pods }) =>
    meshState({
      settings: meshSettings({ sameNode, outboundTrafficPolicy }),
      workloads: workloads.map((value) => ({ ...value, guardedByService: isGuarded(value, services) })),
      services,
      policies,
      localPods: workloads
        .filter((value) => value.node === NODE && value.podUid !== null && !pods.missing.includes(value.name))
        .map((value) => localPod(value, { wanted: !pods.unwanted.includes(value.name) })),
    }),
  );

function isGuarded(value: Workload, services: readonly Service[]): boolean {
  return services.some((each) => each.waypoint?.required === true && value.services.has(serviceKey(each)));
}

export const podUids = NAMES.map((name) => `uid-${name}`);
const peers = [null, ...['x', 'y'].map((serviceAccount) => identity(workload('a', { serviceAccount })))];

/** Every question that can be asked in this little world. */
export const QUESTIONS: readonly Question[] = podUids.flatMap((pod) =>
  PORTS.flatMap((port) =>
    [...ADDRESSES, ...STRANGERS].flatMap((address): Question[] => [
      { kind: 'outbound', id: 0, pod, destination: address, port },
      ...peers.flatMap((peer) =>
        ['10.0.0.1', '10.0.0.2'].map((destination): Question => ({
          kind: 'inbound',
          id: 0,
          pod,
          peer,
          source: address,
          destination,
          port,
          transport: peer === null ? 'plaintext' : 'mutual_tls',
        })),
      ),
    ]),
  ),
);

export type Meaning = Readonly<Record<string, unknown>>;

/** What an answer means, without its names for things. */
export function answerMeaning(answer: Answer, endpointSets: ReadonlyMap<string, EndpointSet>): Meaning {
  if (answer.kind === 'inbound') {
    const { action, policy: named, reason, sourceWorkload, service: key, handover } = answer;
    return { action, policy: named, reason, sourceWorkload, service: key, handover: handover?.port ?? null };
  }
  const { action, allowLocal, authority, service: key, workload: uid, reason } = answer;
  const endpoints = answer.endpointSet === null ? null : endpointSets.get(answer.endpointSet.id)?.endpoints;
  return { action, allowLocal, authority, service: key, workload: uid, reason, endpoints };
}

/** What an answer would mean that were decided now. */
export function decisionMeaning(store: WorkloadStore, question: Question): Meaning {
  if (question.kind === 'inbound') {
    const { allowed, policy: named, reason, sourceWorkload, service: key, handover } = decideInbound(store, question);
    return {
      action: allowed ? 'allow' : 'deny',
      policy: allowed ? null : named,
      reason,
      sourceWorkload: sourceWorkload?.uid ?? null,
      service: key,
      handover,
    };
  }
  const decision = decideOutbound(store, question);
  return {
    action: decision.action,
    allowLocal: decision.action === 'connect' && decision.allowLocal,
    authority: decision.action === 'connect' ? decision.authority : null,
    service: decision.service === null ? null : serviceKey(decision.service),
    workload: decision.action === 'passthrough' ? (decision.workload?.uid ?? null) : null,
    reason: decision.action === 'deny' ? decision.reason : null,
    endpoints: decision.action === 'connect' ? decision.target.set.endpoints : null,
  };
}
