const ofWaypoint = {
  name: 'stolen',
  labels: { 'gateway.istio.io/managed': 'istio.io-mesh-controller' },
  ownerReferences: [{ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: 'any', uid: 'any' }],
};

const confined = { allowPrivilegeEscalation: false };

/** Each is what a waypoint's is, but for one thing. */
const deployments: readonly (readonly [string, object, object])[] = [
  ['that is no waypoint’s', { name: 'stolen', ownerReferences: ofWaypoint.ownerReferences }, {}],
  ['of no Gateway', { name: 'stolen', labels: ofWaypoint.labels }, {}],
  ['in the network of a node', ofWaypoint, { hostNetwork: true }],
  ['on a port of a node', ofWaypoint, containersWith({ ports: [{ containerPort: 80, hostPort: 80 }] })],
  ['that may be root', ofWaypoint, { securityContext: {} }],
  ['with privileges', ofWaypoint, containersWith({ securityContext: { privileged: true } })],
  ['that may gain privileges', ofWaypoint, containersWith({ securityContext: {} })],
  [
    'with a capability',
    ofWaypoint,
    containersWith({ securityContext: { ...confined, capabilities: { add: ['NET_RAW'] } } }),
  ],
  ['with files of a node', ofWaypoint, { volumes: [{ name: 'a', hostPath: { path: '/' } }] }],
  ['with a Secret', ofWaypoint, { volumes: [{ name: 'a', secret: { secretName: 'any' } }] }],
  ['with a token', ofWaypoint, { automountServiceAccountToken: true }],
  [
    'with a token for anybody',
    ofWaypoint,
    { volumes: [{ name: 'a', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }] },
  ],
  ['with another setting of the kernel', ofWaypoint, kernelSetting('net.ipv4.tcp_syncookies', '0')],
  ['with another value of the one setting', ofWaypoint, kernelSetting('net.ipv4.ip_unprivileged_port_start', '1024')],
];

const selector = { 'gateway.networking.k8s.io/gateway-name': 'any' };
const ports = [{ port: 80 }];

const services: readonly (readonly [string, object])[] = [
  ['that leads to other pods', { selector: { app: 'here' }, ports }],
  ['that leads to no pods', { ports }],
  ['that is a name', { type: 'ExternalName', externalName: 'example.com', selector }],
  ['with an address of its own choice', { selector, ports, externalIPs: ['192.0.2.1'] }],
];

/** What the control plane may not make: its path and body, each as what it makes for Gateways, but for one thing. */
export function forgedObjects(namespace: string): readonly (readonly [what: string, path: string, body: object])[] {
  const core = `/api/v1/namespaces/${namespace}`;
  const deploymentPath = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const deployment = (metadata: object, spec: object): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec,
  });
  const annotations = { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/any' };
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...ofWaypoint, annotations } };
  const { template, ...rest } = deploymentSpec({});
  const annotated = { ...rest, template: { ...template, metadata: { ...template.metadata, annotations } } };
  return [
    ...deployments.map(
      ([what, metadata, spec]) =>
        [`a Deployment ${what}`, deploymentPath, deployment(metadata, deploymentSpec(spec))] as const,
    ),
    ['a Deployment whose pods ask for an identity', deploymentPath, deployment(ofWaypoint, annotated)],
    ['an account with an identity outside of the cluster', `${core}/serviceaccounts`, account],
    ...services.map(
      ([what, spec]) =>
        [
          `a Service ${what}`,
          `${core}/services`,
          { apiVersion: 'v1', kind: 'Service', metadata: ofWaypoint, spec },
        ] as const,
    ),
  ];
}

function kernelSetting(name: string, value: string): object {
  return { securityContext: { runAsNonRoot: true, sysctls: [{ name, value }] } };
}

function containersWith(more: object): object {
  return { containers: [{ name: 'main', image: 'any', securityContext: confined, ...more }] };
}

function deploymentSpec(spec: object) {
  const labels = { app: 'stolen' };
  const plain = { automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } };
  const template = { metadata: { labels }, spec: { ...containersWith({}), ...plain, ...spec } };
  return { replicas: 0, selector: { matchLabels: labels }, template };
}
