import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { certificateRequest } from '../support/certificate-request.ts';
import { ControlHarness } from '../support/control.ts';
import { DiscoveringEnvoy } from '../support/envoy/discovering-envoy.ts';
import type { EnvoyCredentials } from '../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { namespace, pod, service } from '../support/manifests.ts';
import type { Manifest } from '../support/manifests.ts';
import { waitFor } from '../support/wait.ts';

const cluster = (name: string): string => `inbound-vip|80|http|${name}.shop.svc.cluster.local`;

function mesh(...more: readonly Manifest[]): readonly Manifest[] {
  return [
    namespace('shop', { 'istio.io/dataplane-mode': 'ambient', 'istio.io/use-waypoint': 'waypoint' }),
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'waypoint', namespace: 'shop' },
      spec: { gatewayClassName: 'istio-waypoint', listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }] },
    },
    pod({
      name: 'waypoint-1',
      namespace: 'shop',
      nodeName: 'node-1',
      netns: 'w',
      addresses: ['10.0.0.9'],
      serviceAccount: 'waypoint',
      labels: { 'gateway.networking.k8s.io/gateway-name': 'waypoint' },
    }),
    pod({ name: 'web', namespace: 'shop', nodeName: 'node-1', netns: 'a', addresses: ['10.0.0.1'] }),
    http('web', '10.1.0.1'),
    ...more,
  ];
}

function http(name: string, vip: string): Manifest {
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
  return service({ name, namespace: 'shop', vips: [vip], ports: {}, selector: { app: name }, spec: { ports } });
}

function route(name: string, to: string): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace: 'shop' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web' }],
      rules: [{ backendRefs: [{ name: to, port: 80 }] }],
    },
  };
}

async function credentialsOf(control: ControlHarness): Promise<EnvoyCredentials> {
  const identity = 'spiffe://cluster.local/ns/shop/sa/waypoint';
  const { csr, key } = await certificateRequest(identity);
  const token = await control.token({ pod: 'shop/waypoint-1' });
  const { chain, details } = await control.certificate({ csr, validityDuration: 3600n }, { token });
  assert.notEqual(chain.length, 0, details);
  return { certificate: chain.join(''), key, roots: control.roots };
}

describe('a real Envoy that asks the control plane', { timeout: 120_000 }, () => {
  let control: ControlHarness;
  let envoy: DiscoveringEnvoy;

  before(async () => {
    await envoyBinary();
    control = await ControlHarness.start(mesh());
    const credentials = await credentialsOf(control);
    envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/waypoint' });
  });

  after(async () => {
    await envoy.stop();
    await control.stop();
  });

  test('is given its waypoint', async () => {
    await waitFor(async () => (await envoy.names()).listeners.length > 0, { what: 'the listener' });
    const names = await envoy.names();
    assert.deepEqual(names.listeners, ['waypoint']);
    assert.deepEqual(names.clusters, [cluster('web')]);
    assert.deepEqual(names.routes, [cluster('web')]);
    assert.match(await envoy.page('/clusters'), /10\.0\.0\.1:8080/);
  });

  test('takes a route to a service that is new to it', async () => {
    await control.manifests.write('mesh', mesh(http('next', '10.1.0.2'), route('canary', 'next')));
    await waitFor(async () => (await envoy.names()).clusters.includes(cluster('next')), { what: 'the cluster' });
    const routed = async (): Promise<boolean> => (await envoy.page('/config_dump')).includes('shop/canary');
    await waitFor(routed, { what: 'the route' });
    assert.doesNotMatch(await envoy.page('/stats?filter=update_rejected'), /: [1-9]/);
  });
});
