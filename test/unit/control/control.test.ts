import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { typeUrls } from '../../../src/wds/names.ts';
import { ControlHarness } from '../../support/control.ts';
import { namespace, pod, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { settled } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';
import { XdsClient } from '../../support/xds-client.ts';

const typeUrl = typeUrls.address;
const web = 'Kubernetes//Pod/shop/web';
const next = 'Kubernetes//Pod/shop/next';
const key = 'shop/web.shop.svc.cluster.local';

function mesh(...names: readonly string[]): readonly Manifest[] {
  return [
    namespace('shop'),
    service({ name: 'web', namespace: 'shop', vips: ['10.1.0.1'], ports: { 80: 8080 }, selector: { app: 'web' } }),
    ...names.map((name, index) =>
      pod({
        name,
        namespace: 'shop',
        nodeName: `node-${index}`,
        netns: name,
        addresses: [`10.0.0.${index + 1}`],
        labels: { app: 'web' },
      }),
    ),
  ];
}

describe('the control plane', () => {
  let control: ControlHarness;

  before(async () => {
    control = await ControlHarness.start(mesh('web'));
  });

  after(() => control.stop());

  test('an edit of the manifests reaches whoever is concerned', async () => {
    const client = new XdsClient(control.ports.plaintext);
    try {
      client.send({ typeUrl, resourceNamesSubscribe: ['/10.1.0.1'] });
      await client.response(0);
      assert.deepEqual(client.names(typeUrl), [web, key]);
      await control.manifests.write('mesh', mesh('web', 'next'));
      await waitFor(() => client.names(typeUrl).includes(next), { what: 'the new endpoint' });
      await control.manifests.write('mesh', mesh('next'));
      await waitFor(() => !client.names(typeUrl).includes(web), { what: 'the end of the old endpoint' });
    } finally {
      client.close();
    }
  });

  test('plaintext on localhost takes the word of a client for its node', async () => {
    await control.manifests.write('mesh', mesh('web'));
    const client = new XdsClient(control.ports.plaintext);
    try {
      client.send({ typeUrl: typeUrls.localPod, node: { id: 'x', metadata: { NODE_NAME: 'node-0' } } });
      await waitFor(() => client.names(typeUrls.localPod).includes('shop-web-uid'));
    } finally {
      client.close();
    }
  });

  test('metrics have the names of istiod', async () => {
    const page = await control.metrics.registry.metrics();
    for (const name of [
      'pilot_xds ',
      'pilot_xds_pushes{',
      'citadel_server_root_cert_expiry_timestamp ',
      'pilot_services 1',
    ])
      assert.ok(page.includes(`\n${name}`), name);
  });
});

test('a part that fails before everything is served keeps the control plane from being ready', async () => {
  const attend = (): Promise<void> => Promise.reject(new Error('no port for it'));
  const control = await ControlHarness.start(mesh('web'), null, { attend });
  try {
    const response = await fetch(`${control.debug}/ready`);
    assert.equal(response.status, 503);
    assert.match(await response.text(), /pending: writers: no port for it/);
  } finally {
    await control.stop();
  }
});

test('nothing is served before the documents that others name have come', async () => {
  let asked: () => void = () => undefined;
  const starting = new Promise<void>((resolve) => (asked = resolve));
  let come: () => void = () => undefined;
  const followed = (): Promise<void> => {
    asked();
    return new Promise((resolve) => (come = resolve));
  };
  let ready = false;
  const started = ControlHarness.start(mesh('web'), null, { followed }).then((control) => {
    ready = true;
    return control;
  });
  await starting;
  await settled();
  assert.equal(ready, false);
  come();
  const control = await started;
  await control.stop();
});
