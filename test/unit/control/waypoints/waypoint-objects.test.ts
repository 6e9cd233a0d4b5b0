import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { sealed } from '../../../../src/control/waypoints/object-metadata.ts';
import type { WaypointObject } from '../../../../src/control/waypoints/object-metadata.ts';
import { wantedPorts } from '../../../../src/control/waypoints/wanted-proxy.ts';
import { waypointObjects } from '../../../../src/control/waypoints/waypoint-objects.ts';
import type { GatewayReport } from '../../../../src/control/gateway-report.ts';
import { doorSpec, gateway, terms } from './rig.ts';

function objectsOf(metadata: object = {}, spec: object = {}): readonly WaypointObject[] {
  return waypointObjects({ gateway: gateway(metadata, spec), role: 'waypoint', ports: [] }, terms);
}

/** Of a Gateway of the class of gateways. */
function doorOf(metadata: object = {}, spec: object = {}, report: GatewayReport | null = null) {
  const asked = gateway(metadata, { ...doorSpec, ...spec });
  return waypointObjects({ gateway: asked, role: 'gateway', ports: wantedPorts(asked, report) }, terms);
}

function find(objects: readonly WaypointObject[], kind: string): WaypointObject {
  return objects.find((object) => object.kind === kind) ?? assert.fail(`no ${kind}`);
}

interface DeploymentSpec {
  readonly replicas?: number;
  readonly selector: { readonly matchLabels: object };
  readonly template: {
    readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations: object };
    readonly spec: PodSpec;
  };
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly image: string;
    readonly args: readonly string[];
    readonly lifecycle: object;
    readonly readinessProbe: { readonly httpGet: object };
  }[];
}

function deploymentOf(objects: readonly WaypointObject[]): DeploymentSpec {
  return find(objects, 'Deployment').spec as DeploymentSpec;
}

describe('the objects of a waypoint', () => {
  it('are an account, a Service and a Deployment of the Gateway’s name, owned by it', () => {
    const objects = objectsOf();
    assert.deepEqual(
      objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`),
      ['ServiceAccount shop/waypoint', 'Service shop/waypoint', 'Deployment shop/waypoint'],
    );
    for (const { metadata } of objects) {
      assert.equal(metadata.labels['gateway.istio.io/managed'], 'istio.io-mesh-controller');
      assert.equal((metadata.ownerReferences[0] as { uid: string }).uid, 'uid-of-gateway');
    }
  });

  it('have pods of the mesh that are found by the Gateway’s label, and no count of their own', () => {
    const { selector, template, replicas } = deploymentOf(objectsOf());
    assert.deepEqual(selector.matchLabels, { 'gateway.networking.k8s.io/gateway-name': 'waypoint' });
    assert.equal(template.metadata.labels['istio.io/dataplane-mode'], 'ambient');
    assert.equal(template.metadata.labels['gateway.networking.k8s.io/gateway-name'], 'waypoint');
    assert.equal(replicas, undefined);
  });

  it('run the Envoy that is set, without a token, which serves on for its drain', () => {
    const { spec } = deploymentOf(objectsOf()).template;
    const [container] = spec.containers;
    assert.equal(container?.image, 'envoy:1');
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.terminationGracePeriodSeconds, 30);
    assert.deepEqual(container.lifecycle, { preStop: { sleep: { seconds: 20 } } });
    assert.deepEqual(container.readinessProbe.httpGet, { path: '/healthz/ready', port: 15021 });
  });

  it('tell Envoy of its limits, and name it by its pod', () => {
    const args = deploymentOf(objectsOf()).template.spec.containers[0]?.args ?? [];
    assert.equal(args[args.indexOf('--service-node') + 1], '$(POD_NAMESPACE)/$(POD_NAME)');
    assert.equal(args[args.indexOf('--service-cluster') + 1], 'shop/waypoint');
    assert.equal(args[args.indexOf('--concurrency') + 1], '2');
    assert.match(args[args.indexOf('--config-yaml') + 1] ?? '', new RegExp(String(Math.floor(0.8 * 2 ** 30))));
  });

  it('have the labels and annotations that the Gateway’s infrastructure asks for, but not in place of their own', () => {
    const labels = { team: 'a', 'gateway.istio.io/managed': 'nobody', 'istio.io/dataplane-mode': 'none' };
    const objects = objectsOf({}, { infrastructure: { labels, annotations: { note: 'b' } } });
    for (const { metadata } of objects) {
      assert.equal(metadata.labels['team'], 'a');
      assert.equal(metadata.labels['gateway.istio.io/managed'], 'istio.io-mesh-controller');
      assert.equal(metadata.annotations['note'], 'b');
    }
    assert.equal((deploymentOf(objects).template.metadata.annotations as { note?: string }).note, 'b');
    assert.equal(deploymentOf(objects).template.metadata.labels['istio.io/dataplane-mode'], 'ambient');
  });

  it('are called and typed as annotations say', () => {
    const annotations = {
      'gateway.istio.io/name-override': 'edge',
      'networking.istio.io/service-type': 'LoadBalancer',
    };
    const objects = objectsOf({ annotations });
    assert.ok(objects.every(({ metadata }) => metadata.name === 'edge'));
    assert.equal((find(objects, 'Service').spec as { type: string }).type, 'LoadBalancer');
  });

  it('leave an account that the Gateway names to whoever has made it', () => {
    const objects = objectsOf({ annotations: { 'gateway.istio.io/service-account': 'own' } });
    assert.ok(objects.every(({ kind }) => kind !== 'ServiceAccount'));
    assert.equal(deploymentOf(objects).template.spec.serviceAccountName, 'own');
  });

  it('have a digest that changes with anything that is wanted', () => {
    const digest = (object: WaypointObject): string => sealed(object).metadata.annotations['ambit.dev/applied'] ?? '';
    const [first, same] = [objectsOf(), objectsOf()].map((objects) => digest(find(objects, 'Deployment')));
    const other = waypointObjects({ gateway: gateway(), role: 'waypoint', ports: [] }, { ...terms, image: 'envoy:2' });
    assert.equal(first, same);
    assert.notEqual(first, digest(find(other, 'Deployment')));
  });
});

interface ServiceSpec {
  readonly type: string;
  readonly loadBalancerIP?: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
}

function serviceOf(objects: readonly WaypointObject[]): ServiceSpec {
  return find(objects, 'Service').spec as ServiceSpec;
}

function portsOf(objects: readonly WaypointObject[]): readonly string[] {
  return serviceOf(objects).ports.map(({ name, port, protocol }) => `${name} ${port} ${protocol}`);
}

describe('the objects of a gateway', () => {
  it('are those of a waypoint, with a Service for clients outside', () => {
    const objects = doorOf();
    assert.deepEqual(
      objects.map(({ kind }) => kind),
      ['ServiceAccount', 'Service', 'Deployment'],
    );
    assert.equal(serviceOf(objects).type, 'LoadBalancer');
    assert.deepEqual(portsOf(objects), ['status-port 15021 TCP', 'http-80 80 TCP', 'https-443 443 TCP']);
  });

  it('have the type that an annotation says, and an address that the Gateway asks for', () => {
    const annotations = { 'networking.istio.io/service-type': 'NodePort' };
    const addresses = [{ type: 'IPAddress', value: '192.0.2.1' }];
    assert.equal(serviceOf(doorOf({ annotations })).type, 'NodePort');
    assert.equal(serviceOf(doorOf({}, { addresses })).loadBalancerIP, '192.0.2.1');
    assert.equal(serviceOf(doorOf({ annotations }, { addresses })).loadBalancerIP, undefined);
  });

  it('have each port once, those of ListenerSets and of HTTP/3 too, and none that is the mesh’s own', () => {
    const listener = (name: string, port: number, protocol: string): object => ({ name, port, protocol });
    const listeners = [
      listener('b', 443, 'HTTPS'),
      listener('a', 443, 'HTTPS'),
      listener('raw', 9000, 'TCP'),
      listener('names', 53, 'UDP'),
      listener('tunnels', 15008, 'TCP'),
    ];
    const report: GatewayReport = {
      ports: [
        { number: 443, protocol: 'https', http3: true },
        { number: 8443, protocol: 'tls', http3: false },
      ],
      listeners: [],
      conditions: [],
    };
    assert.deepEqual(portsOf(doorOf({}, { listeners }, report)), [
      'status-port 15021 TCP',
      'https-443 443 TCP',
      'http3-443 443 UDP',
      'tls-8443 8443 TCP',
      'tcp-9000 9000 TCP',
    ]);
  });

  it('have ports of the same names before and after the mesh has looked at them', () => {
    const listeners = [{ name: 'names', port: 8443, protocol: 'TLS' }];
    const report: GatewayReport = {
      ports: [{ number: 8443, protocol: 'https', http3: false }],
      listeners: [],
      conditions: [],
    };
    assert.deepEqual(portsOf(doorOf({}, { listeners }, report)), portsOf(doorOf({}, { listeners })));
  });

  it('have pods of the mesh that clients reach directly, on every port', () => {
    const { template } = deploymentOf(doorOf());
    assert.equal(template.metadata.labels['istio.io/dataplane-mode'], 'ambient');
    assert.deepEqual(template.metadata.annotations, { 'ambient.istio.io/bypass-inbound-capture': 'true' });
    assert.deepEqual((template.spec as unknown as { securityContext: { sysctls: object } }).securityContext.sysctls, [
      { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' },
    ]);
  });

  it('have the labels by which Istio’s Gateways select them', () => {
    const { template } = deploymentOf(doorOf({}, { infrastructure: { labels: { istio: 'ingressgateway' } } }));
    assert.equal(template.metadata.labels['istio'], 'ingressgateway');
  });

  it('keep their pods when a listener is added', () => {
    const listeners = [{ name: 'more', port: 8080, protocol: 'HTTP' }];
    assert.deepEqual(deploymentOf(doorOf()), deploymentOf(doorOf({}, { listeners })));
  });

  it('have annotations where they are read: of load balancers the Service, of schedulers the pods, the account neither', () => {
    const annotations = {
      'service.beta.kubernetes.io/aws-load-balancer-type': 'nlb',
      'prometheus.io/scrape': 'true',
      'cluster-autoscaler.kubernetes.io/safe-to-evict': 'true',
      note: 'b',
    };
    const objects = doorOf({}, { infrastructure: { annotations } });
    const names = (metadata: { readonly annotations: object }): readonly string[] =>
      Object.keys(metadata.annotations).toSorted();
    assert.deepEqual(names(find(objects, 'ServiceAccount').metadata), ['note']);
    assert.deepEqual(names(find(objects, 'Service').metadata), [
      'note',
      'prometheus.io/scrape',
      'service.beta.kubernetes.io/aws-load-balancer-type',
    ]);
    assert.deepEqual(names(deploymentOf(objects).template.metadata), [
      'ambient.istio.io/bypass-inbound-capture',
      'cluster-autoscaler.kubernetes.io/safe-to-evict',
      'note',
      'prometheus.io/scrape',
    ]);
  });
});
