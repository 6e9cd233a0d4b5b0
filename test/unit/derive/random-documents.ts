import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readRaw } from '../../../src/config/manifests/parse.ts';
import { changesBetween } from '../../../src/config/manifests/store.ts';
import type { DocumentChange } from '../../../src/config/mesh-input.ts';

type Raw = Readonly<Record<string, unknown>>;

const namespaces = fc.constantFrom('shop', 'other', 'istio-system');
const names = fc.constantFrom('a', 'b', 'c');
const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('x', 'y'), { maxKeys: 2 });

function named(apiVersion: string, kind: string, spec: fc.Arbitrary<unknown>, metadata = labelled): fc.Arbitrary<Raw> {
  return fc.record({ apiVersion: fc.constant(apiVersion), kind: fc.constant(kind), metadata, spec });
}

const waypointLabels = fc.constantFrom(
  {},
  {},
  { 'istio.io/use-waypoint': 'a' },
  { 'istio.io/use-waypoint': 'b', 'istio.io/use-waypoint-namespace': 'shop' },
  { 'istio.io/use-waypoint': 'none' },
  { 'gateway.networking.k8s.io/gateway-name': 'a' },
);
const metadataLabels = fc.tuple(labels, waypointLabels).map(([own, more]) => ({ ...own, ...more }));
const labelled: fc.Arbitrary<Raw> = fc.record({ name: names, namespace: namespaces, labels: metadataLabels });
const aged: fc.Arbitrary<Raw> = fc.record({
  name: names,
  namespace: namespaces,
  creationTimestamp: fc.constantFrom(undefined, '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
});

const podMetadata: fc.Arbitrary<Raw> = fc.record({
  name: names,
  namespace: namespaces,
  labels: metadataLabels,
  uid: fc.constantFrom(undefined, undefined, 'u-1', 'u-2'),
  annotations: fc.constantFrom({}, { 'ambit.dev/netns': 'web' }),
});

const pods = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: podMetadata,
  spec: fc.record({
    nodeName: fc.constantFrom(undefined, 'node-a', 'node-b'),
    hostNetwork: fc.constantFrom(false, false, true),
    serviceAccountName: names,
    containers: fc.constantFrom([], [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }]),
  }),
  status: fc.record({
    phase: fc.constantFrom('Running', 'Running', 'Succeeded'),
    podIPs: fc.constantFrom([], [{ ip: '10.0.0.1' }], [{ ip: '10.0.0.2' }, { ip: 'fd00::2' }]),
  }),
});

const services = named(
  'v1',
  'Service',
  fc.record({
    type: fc.constantFrom('ClusterIP', 'ClusterIP', 'ExternalName'),
    clusterIP: fc.constantFrom('10.1.0.1', '10.1.0.2', 'None', ''),
    selector: fc.option(labels),
    ports: fc.constantFrom([{ port: 80 }], [{ port: 80, targetPort: 'http' }, { port: 443 }]),
    trafficDistribution: fc.constantFrom(undefined, 'PreferClose', 'Wrong'),
  }),
);

const mode = fc.record({ mode: fc.constantFrom('UNSET', 'STRICT', 'PERMISSIVE', 'DISABLE') });
const somebody = fc.constantFrom({ matchLabels: { app: 'x' } }, { matchLabels: { tier: 'y' } });

const peerAuthentications = named(
  'security.istio.io/v1',
  'PeerAuthentication',
  fc.oneof(
    fc.record({ mtls: mode }, { requiredKeys: [] }),
    fc.record(
      { selector: somebody, mtls: mode, portLevelMtls: fc.record({ 8080: mode }) },
      { requiredKeys: ['selector'] },
    ),
  ),
  aged,
);

const authorizationPolicies = named(
  'security.istio.io/v1',
  'AuthorizationPolicy',
  fc.record(
    {
      selector: fc.record({ matchLabels: labels }),
      action: fc.constantFrom('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'),
      rules: fc.constantFrom(
        [],
        [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/a'] } }] }],
        [{ to: [{ operation: { methods: ['GET'] } }] }],
      ),
    },
    { requiredKeys: ['action'] },
  ),
);

const networkPolicies = named(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  fc.record({ podSelector: fc.record({ matchLabels: labels }) }),
);
const foreignPolicies = named('cilium.io/v2', 'CiliumNetworkPolicy', fc.constant({}));

const addresses = fc.constantFrom('10.0.0.1', '10.2.0.1', '10.2.0.2', '127.0.0.1');

const endpoints = fc.record(
  { address: addresses, labels, ports: fc.constant({ http: 8080 }), network: fc.constantFrom('', 'n1') },
  { requiredKeys: ['address'] },
);

const serviceEntries = named(
  'networking.istio.io/v1',
  'ServiceEntry',
  fc.record(
    {
      hosts: fc.uniqueArray(fc.constantFrom('a.example', 'a.shop.svc.cluster.local', '*.example'), { minLength: 1 }),
      addresses: fc.constantFrom([], ['10.1.0.1'], ['10.3.0.1', '10.4.0.0/16']),
      ports: fc.constantFrom([], [{ number: 80, name: 'http', protocol: 'HTTP' }]),
      resolution: fc.constantFrom('NONE', 'STATIC', 'DNS', 'DYNAMIC_DNS'),
      exportTo: fc.constantFrom([], ['.'], ['~']),
    },
    { requiredKeys: ['hosts'] },
  ),
  aged,
);

const selectingEntries = fc
  .tuple(
    serviceEntries,
    fc.oneof(
      fc.record({ endpoints: fc.array(endpoints, { maxLength: 2 }) }),
      fc.record({ workloadSelector: fc.record({ labels }) }),
    ),
  )
  .map(([entry, more]) => ({ ...entry, spec: { ...(entry['spec'] as object), ...more } }));

const workloadEntries = named(
  'networking.istio.io/v1',
  'WorkloadEntry',
  endpoints,
  fc.record({
    name: names,
    namespace: namespaces,
    annotations: fc.constantFrom({}, { 'istio.io/autoRegistrationGroup': 'a' }),
  }),
);

const workloadGroups = named(
  'networking.istio.io/v1',
  'WorkloadGroup',
  fc.record({ metadata: fc.record({ labels }), template: fc.record({ serviceAccount: names }) }),
);

const endpointSlices = fc
  .record({ service: names, pod: names, address: addresses, metadata: labelled, port: fc.constantFrom('', 'http') })
  .map(({ service, pod, address, metadata, port }) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address] }, { addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: pod } }],
    ports: [{ name: port, port: 8080 }],
  }));

const gateways = fc
  .record({
    name: names,
    namespace: namespaces,
    traffic: fc.constantFrom('service', 'workload', 'all', 'none', 'wrong'),
    required: fc.constantFrom('true', 'false'),
    gatewayClassName: fc.constantFrom('istio-waypoint', 'istio-waypoint', 'own', 'istio'),
    from: fc.constantFrom('Same', 'All'),
    addresses: fc.constantFrom([], [{ value: '10.1.0.1' }], [{ type: 'Hostname', value: 'w.example' }]),
  })
  .map(({ name, namespace, traffic, required, gatewayClassName, from, addresses }) => ({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: {
      name,
      namespace,
      labels: { 'istio.io/waypoint-for': traffic },
      annotations: { 'ambit.dev/waypoint-required': required },
    },
    spec: {
      gatewayClassName,
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE', allowedRoutes: { namespaces: { from } } }],
    },
    status: { addresses },
  }));

const gatewayClasses = named(
  'gateway.networking.k8s.io/v1',
  'GatewayClass',
  fc.record({ controllerName: fc.constantFrom('istio.io/mesh-controller', 'example.com/other') }),
  fc.record({
    name: fc.constantFrom('own', 'istio-waypoint'),
    labels: fc.constantFrom({}, { 'istio.io/waypoint-for': 'all' }),
  }),
);

const unsupported = named('networking.istio.io/v1', 'Sidecar', fc.constant({}));

const cluster = (kind: string, name: fc.Arbitrary<string>, keys: Readonly<Record<string, readonly string[]>>) =>
  fc.record({
    apiVersion: fc.constant('v1'),
    kind: fc.constant(kind),
    metadata: fc.record({
      name,
      labels: fc.record(
        Object.fromEntries(Object.entries(keys).map(([key, values]) => [key, fc.constantFrom(...values)])),
        { requiredKeys: [] },
      ),
    }),
  });

const settings = named(
  'ambit.dev/v1alpha1',
  'MeshSettings',
  fc.record(
    {
      trustDomain: fc.constantFrom('cluster.local', 'corp'),
      clusterId: fc.constantFrom('Kubernetes', 'west'),
      clusterDomain: fc.constantFrom('cluster.local', 'corp'),
      rootNamespace: fc.constantFrom('istio-system', 'shop'),
      network: fc.constantFrom('', 'n1'),
      unenforceable: fc.constantFrom('deny', 'ignore'),
      serviceEntryVisibility: fc.constantFrom('public', 'namespace', 'none'),
    },
    { requiredKeys: [] },
  ),
  fc.constant({ name: 'mesh' }),
);

const documents: fc.Arbitrary<Raw> = fc.oneof(
  { weight: 6, arbitrary: pods },
  { weight: 3, arbitrary: services },
  { weight: 3, arbitrary: peerAuthentications },
  { weight: 3, arbitrary: authorizationPolicies },
  { weight: 2, arbitrary: networkPolicies },
  { weight: 1, arbitrary: foreignPolicies },
  { weight: 3, arbitrary: fc.oneof(serviceEntries, selectingEntries) },
  { weight: 2, arbitrary: workloadEntries },
  { weight: 1, arbitrary: workloadGroups },
  { weight: 3, arbitrary: endpointSlices },
  { weight: 3, arbitrary: gateways },
  { weight: 1, arbitrary: gatewayClasses },
  { weight: 1, arbitrary: unsupported },
  { weight: 1, arbitrary: settings },
  {
    weight: 2,
    arbitrary: cluster('Namespace', namespaces, {
      'istio.io/dataplane-mode': ['ambient', 'none'],
      'istio.io/use-waypoint': ['a', 'none'],
    }),
  },
  {
    weight: 2,
    arbitrary: cluster('Node', fc.constantFrom('node-a', 'node-b'), { 'topology.kubernetes.io/zone': ['z1', 'z2'] }),
  },
);

/** A document of any kind that appears, changes or goes away. */
export const documentChanges: fc.Arbitrary<DocumentChange> = fc
  .record({ raw: documents, present: fc.constantFrom(true, true, false) })
  .map(({ raw, present }) => {
    const change = documentChange(raw);
    return present ? change : { ...change, document: null };
  });

/** The document as a source gives it. */
export function documentChange(raw: unknown): DocumentChange {
  // As text and back: what is undefined is not there.
  const parsed = readRaw('m.yaml', 1, JSON.parse(JSON.stringify(raw)));
  assert.ok(parsed?.resource != null, JSON.stringify(parsed?.problems));
  const { key, file, line, resource } = parsed;
  const [change] = changesBetween(new Map(), new Map([[key, { key, file, line, raw, resource }]]));
  assert.ok(change !== undefined);
  return change;
}
