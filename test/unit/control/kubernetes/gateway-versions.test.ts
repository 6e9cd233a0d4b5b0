import assert from 'node:assert/strict';
import { test } from 'node:test';

import { classify } from '../../../../src/config/manifests/kinds.ts';
import { statusPaths } from '../../../../src/control/kubernetes/status-writer.ts';
import { watchedKinds } from '../../../../src/control/kubernetes/watched-kinds.ts';

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
};

for (const [kind, versions] of Object.entries(served)) {
  test(`${kind} is read in every version that the Gateway API serves, and watched in one of them`, () => {
    for (const version of versions) assert.equal(classify(`${group}/${version}`, kind).type, 'known', version);
    const watched = watchedKinds.find((each) => each.kind === kind)?.apiVersion;
    assert.ok(versions.map((version) => `${group}/${version}`).includes(watched ?? ''), watched);
    const [written] = (statusPaths[kind] ?? '').split(' ');
    assert.ok(written === '' || written === `apis/${watched ?? ''}`, written);
  });
}
