import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meshSettingsSpec } from '../../../src/config/manifests/schemas/mesh-settings.ts';

const parsed = (ingressGatewayNamespace: unknown) => meshSettingsSpec.safeParse({ ingressGatewayNamespace });

test('the namespace of gateways that serve Ingresses is the name of one, or empty', () => {
  for (const name of ['', 'edge', 'istio-ingress']) assert.ok(parsed(name).success, name);
  for (const name of ['*', 'edge/gateway', 'Edge', ' ']) {
    assert.match(parsed(name).error?.message ?? '', /must be a namespace name, or empty/, name);
  }
});
