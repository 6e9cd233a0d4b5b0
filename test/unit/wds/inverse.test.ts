import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { authorize, compilePolicy } from '../../../src/model/authorization.ts';
import { parseAddress } from '../../../src/model/address.ts';
import type { Match, Policy, StringMatch } from '../../../src/model/policy.ts';
import type { LocalPod, MeshSettings, Service, WaypointReference, Workload } from '../../../src/model/workload.ts';
import { LocalPodSchema, MeshSettingsSchema } from '../../../src/proto/gen/ambit/mesh/v1/mesh_pb.ts';
import { AuthorizationSchema } from '../../../src/proto/gen/istio/security/authorization_pb.ts';
import { ServiceSchema, WorkloadSchema } from '../../../src/proto/gen/istio/workload/workload_pb.ts';
import { decodePolicy, encodePolicy } from '../../../src/wds/authorization.ts';
import { decodeLocalPod, decodeMeshSettings, encodeLocalPod, encodeMeshSettings } from '../../../src/wds/mesh.ts';
import { decodeService, encodeService } from '../../../src/wds/services.ts';
import { decodeWorkload, encodeWorkload } from '../../../src/wds/workloads.ts';
import { localPod, match, meshSettings, policy, service, workload } from '../../support/mesh-builders.ts';

/** Objects as programs make them: those of fast-check may lack a prototype. */
function record<T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/);
const port = fc.integer({ min: 1, max: 65535 });
const address = fc.constantFrom('10.0.0.1', '10.255.0.9', 'fd00::1', '2001:db8::ff');
const block = fc.constantFrom('10.0.0.0/8', '10.1.2.3/32', '0.0.0.0/0', 'fd00::/64', '::/0');
const ports = fc.uniqueArray(fc.tuple(port, fc.integer({ min: 0, max: 65535 })), { selector: ([key]) => key });

const terms = { required: fc.boolean(), whenUnready: fc.constantFrom<'refuse' | 'direct'>('refuse', 'direct') };
const waypoint: fc.Arbitrary<WaypointReference | null> = fc.oneof(
  fc.constant(null),
  record({ kind: fc.constant('hostname' as const), namespace: word, hostname: word, port, ...terms }),
  record({ kind: fc.constant('address' as const), network: word, address, port, ...terms }),
);

const workloads: fc.Arbitrary<Workload> = record({
  addresses: fc.uniqueArray(address),
  hostname: fc.constantFrom('', 'db.example.com'),
  hostNetwork: fc.boolean(),
  protocol: fc.constantFrom('hbone', 'tcp'),
  nativeTunnel: fc.boolean(),
  trustDomain: fc.constantFrom('cluster.local', 'example.org'),
  serviceAccount: fc.constantFrom('default', 'web'),
  workloadType: fc.constantFrom('deployment', 'cronjob', 'pod', 'job'),
  app: fc.constantFrom('', 'app'),
  version: fc.constantFrom('', 'v2'),
  clusterId: fc.constantFrom('Kubernetes', 'other'),
  locality: record({
    region: fc.constantFrom('', 'eu'),
    zone: fc.constantFrom('', 'a'),
    subzone: fc.constantFrom('', 's'),
  }),
  services: fc.uniqueArray(fc.tuple(word, ports), { selector: ([key]) => key }),
  authorizationPolicies: fc.array(word),
  status: fc.constantFrom('healthy', 'unhealthy'),
  capacity: fc.integer({ min: 1, max: 1000 }),
  podUid: fc.constantFrom(null, 'some-uid'),
  guardedByService: fc.boolean(),
  selectedByNetworkPolicy: fc.boolean(),
  waypoint,
  applicationTunnel: fc.oneof(
    fc.constant(null),
    record({ protocol: fc.constant('proxy' as const), port }),
    record({ protocol: fc.constant('proxy' as const), port, gateway: fc.constant(true as const) }),
  ),
}).map(({ services, ...rest }) =>
  workload('w', { ...rest, services: new Map(services.map(([key, value]) => [key, new Map(value)])) }),
);

const spoken = fc.constantFrom(undefined, 'http1', 'http2', 'grpc', 'tcp', 'tls');
const servicePorts: fc.Arbitrary<Pick<Service, 'ports' | 'appProtocols'>> = fc
  .uniqueArray(fc.tuple(port, fc.integer({ min: 0, max: 65535 }), spoken), { selector: ([key]) => key })
  .map((entries) => ({
    ports: new Map(entries.map(([key, target]) => [key, target])),
    appProtocols: new Map(entries.flatMap(([key, , word]) => (word === undefined ? [] : [[key, word] as const]))),
  }));

const services: fc.Arbitrary<Service> = record({
  vips: fc.uniqueArray(address),
  numbered: servicePorts,
  subjectAltNames: fc.array(word),
  loadBalancing: record({
    mode: fc.constantFrom('standard', 'strict', 'failover', 'passthrough'),
    scopes: fc.uniqueArray(fc.constantFrom('region', 'zone', 'subzone', 'node', 'cluster', 'network')),
    healthPolicy: fc.constantFrom('only-healthy', 'allow-all'),
  }),
  ipFamilies: fc.constantFrom('automatic', 'ipv4', 'ipv6', 'dual'),
  visibility: fc.constantFrom('public', 'namespace'),
  canonical: fc.boolean(),
  waypoint,
}).map(({ numbered, ...parts }) => service('s', { ...parts, ...numbered }));

const stringMatches: fc.Arbitrary<readonly StringMatch[]> = fc.array(
  fc.oneof(
    fc.constant<StringMatch>({ kind: 'presence' }),
    record({ kind: fc.constantFrom('exact', 'prefix', 'suffix'), value: word }),
  ),
);
const accounts = fc.array(record({ namespace: word, serviceAccount: word }));
const matches: fc.Arbitrary<Match> = record({
  namespaces: stringMatches,
  notNamespaces: stringMatches,
  principals: stringMatches,
  notPrincipals: stringMatches,
  serviceAccounts: accounts,
  notServiceAccounts: accounts,
  sourceIps: fc.array(block),
  notSourceIps: fc.array(block),
  destinationIps: fc.array(block),
  notDestinationIps: fc.array(block),
  destinationPorts: fc.array(port),
  notDestinationPorts: fc.array(port),
});
const policies: fc.Arbitrary<Policy> = record({
  name: word,
  namespace: word,
  scope: fc.constantFrom('global', 'namespace', 'workload-selector'),
  action: fc.constantFrom('allow', 'deny'),
  rules: fc.array(record({ clauses: fc.array(fc.array(matches, { maxLength: 2 }), { maxLength: 3 }) }), {
    maxLength: 2,
  }),
  dryRun: fc.boolean(),
});

const settings: fc.Arbitrary<MeshSettings> = record({
  trustDomainAliases: fc.array(word),
  network: fc.constantFrom('', 'net'),
  sameNode: fc.constantFrom('auto', 'local', 'tls'),
  unenforceable: fc.constantFrom('deny', 'ignore'),
  serviceEntryVisibility: fc.constantFrom('public', 'namespace', 'none'),
}).map((parts) => meshSettings(parts));

const pods: fc.Arbitrary<LocalPod> = record({
  netns: fc.constantFrom(null, '/run/netns/a'),
  probePorts: fc.array(port),
  wanted: fc.boolean(),
  handover: fc.boolean(),
  bypassInbound: fc.boolean(),
  dnsCapture: fc.constantFrom(null, true, false),
}).map((parts) => localPod(workload('w', { addresses: ['10.0.0.1'] }), parts));

test('a workload comes out of the wire as it went in', () => {
  fc.assert(
    fc.property(workloads, fc.constantFrom('', 'net'), (value, network) => {
      const wire = toBinary(WorkloadSchema, encodeWorkload(value, network));
      assert.deepEqual(decodeWorkload(fromBinary(WorkloadSchema, wire), network), { value, problems: [] });
    }),
  );
});

test('a service comes out of the wire as it went in', () => {
  fc.assert(
    fc.property(services, fc.constantFrom('', 'net'), (value, network) => {
      const wire = toBinary(ServiceSchema, encodeService(value, network));
      assert.deepEqual(decodeService(fromBinary(ServiceSchema, wire), network), { value, problems: [] });
    }),
  );
});

test('a policy comes out of the wire as it went in', () => {
  fc.assert(
    fc.property(policies, (value) => {
      const wire = toBinary(AuthorizationSchema, encodePolicy(value));
      assert.deepEqual(decodePolicy(fromBinary(AuthorizationSchema, wire)), { value, problems: [] });
    }),
  );
});

test('settings and local pods come out of the wire as they went in', () => {
  fc.assert(
    fc.property(settings, pods, (mesh, pod) => {
      const meshWire = toBinary(MeshSettingsSchema, encodeMeshSettings(mesh));
      assert.deepEqual(decodeMeshSettings(fromBinary(MeshSettingsSchema, meshWire)).value, mesh);
      const podWire = toBinary(LocalPodSchema, encodeLocalPod(pod));
      assert.deepEqual(decodeLocalPod(fromBinary(LocalPodSchema, podWire)).value, pod);
    }),
  );
});

test('equal workloads have equal bytes, in whatever order their services were found', () => {
  const one = new Map([
    [
      'a/x',
      new Map([
        [80, 1],
        [81, 2],
      ]),
    ],
    ['b/y', new Map<number, number>()],
  ]);
  const other = new Map([
    ['b/y', new Map<number, number>()],
    [
      'a/x',
      new Map([
        [81, 2],
        [80, 1],
      ]),
    ],
  ]);
  const wire = (map: Workload['services']) =>
    toBinary(WorkloadSchema, encodeWorkload(workload('w', { services: map }), ''));
  assert.deepEqual(wire(one), wire(other));
});

for (const [what, broken] of [
  ['a block that is none', match({ sourceIps: ['nonsense'] })],
  ['a negated block that is none', match({ notDestinationIps: ['nonsense'] })],
] as const) {
  test(`a policy with ${what} denies at the receiver, who says so`, () => {
    const sent = encodePolicy(policy('p', { action: 'allow' }, broken));
    const { value, problems } = decodePolicy(fromBinary(AuthorizationSchema, toBinary(AuthorizationSchema, sent)));
    assert.notDeepEqual(problems, []);
    assert.ok(value);
    assert.equal(decide(value), 'policy_malformed');
  });
}

test('a way to compare texts that we do not know denies', () => {
  const sent = encodePolicy(policy('p', { action: 'allow' }, { principals: [{ kind: 'presence' }] }));
  const principals = sent.rules[0]?.clauses[0]?.matches[0]?.principals[0];
  assert.ok(principals);
  principals.matchType = { case: undefined };
  const { value, problems } = decodePolicy(sent);
  assert.deepEqual(problems, ['a text is compared in a way that is not supported']);
  assert.ok(value);
  assert.equal(decide(value), 'policy_malformed');
});

test('an action that we do not know denies everything in its scope', () => {
  const sent = encodePolicy(policy('p', {}, { destinationPorts: [1] }));
  sent.action = 7 as typeof sent.action;
  const { value } = decodePolicy(sent);
  assert.ok(value);
  assert.equal(decide(value), 'policy_denied');
});

function decide(value: Policy): string | null {
  const source = parseAddress('10.0.0.1');
  assert.ok(source);
  const { decision } = authorize([compilePolicy(value)], { peer: null, source, destination: source, port: 80 });
  return decision.allowed ? null : decision.reason;
}
