import assert from 'node:assert/strict';
import { test } from 'node:test';

import { classify } from '../../../../src/config/manifests/kinds.ts';
import { statusPaths } from '../../../../src/control/kubernetes/status-writer.ts';
import { watchedKinds } from '../../../../src/control/kubernetes/watched-kinds.ts';
import { KubernetesInput } from '../../../../src/kube/kubernetes-input.ts';
import { quietObserver, startFakeCluster } from '../../../support/kube/fake-cluster.ts';

const group = 'gateway.networking.k8s.io';

/** What release 1.5 of the Gateway API serves of each kind, in its standard and in its experimental channel. */
const served: Readonly<Record<string, readonly string[]>> = {
  Gateway: ['v1', 'v1beta1'],
  GatewayClass: ['v1', 'v1beta1'],
  HTTPRoute: ['v1', 'v1beta1'],
  GRPCRoute: ['v1'],
  ReferenceGrant: ['v1', 'v1beta1'],
  TLSRoute: ['v1', 'v1alpha2', 'v1alpha3'],
  TCPRoute: ['v1alpha2'],
  ListenerSet: ['v1'],
  BackendTLSPolicy: ['v1', 'v1alpha3'],
};

for (const [kind, versions] of Object.entries(served)) {
  test(`${kind} is read in every version that the Gateway API serves, and watched in one of them`, () => {
    for (const version of versions) assert.equal(classify(`${group}/${version}`, kind).type, 'known', version);
    const { apiVersion = '', otherVersions = [] } = watchedKinds.find((each) => each.kind === kind) ?? {};
    const watched = [apiVersion, ...otherVersions];
    assert.ok(
      versions.some((version) => watched.includes(`${group}/${version}`)),
      watched.join(),
    );
    const [written] = (statusPaths[kind] ?? '').split(' ');
    assert.ok(written === '' || written === `apis/${apiVersion}`, written);
  });
}

const rules = [{ backendRefs: [{ name: 'web', port: 80 }] }];
const specs = {
  TLSRoute: { hostnames: ['web.example'], rules },
  TCPRoute: { rules },
  ReferenceGrant: { from: [{ group, kind: 'TCPRoute', namespace: 'edge' }], to: [{ group: '', kind: 'Service' }] },
};

/** Kinds that releases serve in one version alone, and not all in the same. */
for (const [kind, version] of [
  ['TLSRoute', 'v1'],
  ['TLSRoute', 'v1alpha3'],
  ['TLSRoute', 'v1alpha2'],
  ['TCPRoute', 'v1'],
  ['TCPRoute', 'v1alpha2'],
  ['ReferenceGrant', 'v1beta1'],
  ['ReferenceGrant', 'v1'],
] as const) {
  test(`${kind} is found where only ${version} is served`, async (context) => {
    const { server, client, timers } = await startFakeCluster(context);
    const path = `/apis/${group}/${version}/${kind.toLowerCase()}s`;
    server.put(path, 'one', { spec: specs[kind] }, 'shop');
    const input = new KubernetesInput({
      kinds: watchedKinds.filter((each) => each.kind === kind),
      isUnreadablePolicy: null,
      client,
      timers,
      random: () => 0.5,
      observe: quietObserver,
      onProblem: () => undefined,
    });
    const abort = new AbortController();
    context.after(async () => {
      abort.abort();
      await input.stopped();
    });
    const first = await input.start(() => undefined, abort.signal);
    assert.equal(input.pathOf(kind), path);
    assert.deepEqual(
      first.map(({ key }) => key),
      ['shop/one'],
    );
  });
}
