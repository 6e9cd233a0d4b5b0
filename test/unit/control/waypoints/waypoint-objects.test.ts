import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { sealed, waypointObjects } from '../../../../src/control/waypoints/waypoint-objects.ts';
import type { WaypointObject } from '../../../../src/control/waypoints/waypoint-objects.ts';
import { gateway, terms } from './rig.ts';

function objectsOf(metadata: object = {}, spec: object = {}): readonly WaypointObject[] {
  return waypointObjects(gateway(metadata, spec), terms);
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
    const other = waypointObjects(gateway(), { ...terms, image: 'envoy:2' });
    assert.equal(first, same);
    assert.notEqual(first, digest(find(other, 'Deployment')));
  });
});
