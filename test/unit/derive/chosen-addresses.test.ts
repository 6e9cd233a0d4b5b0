import assert from 'node:assert/strict';
import { test } from 'node:test';
import { derive, serviceEntry } from './support.ts';

const db = {
  hosts: ['db.example.com'],
  resolution: 'STATIC',
  ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
  endpoints: [{ address: '192.0.2.1' }],
};
const chosen = { addresses: [{ value: '240.240.0.1', host: 'db.example.com' }] };
const labelled = (label: string | null, spec: object, status: object = chosen): string => {
  const labels = label === null ? {} : { 'networking.istio.io/enable-autoallocate-ip': label };
  const written = JSON.parse(serviceEntry('db', { ...db, addresses: [], ...spec })) as { metadata: object };
  return JSON.stringify({ ...written, metadata: { ...written.metadata, labels }, status });
};
for (const [what, document, vips] of [
  ['by its label has none of them', labelled('false', {}), []],
  ['with another word on its label has them', labelled('true', {}), ['240.240.0.1']],
  ['without resolution has none of them', labelled(null, { resolution: 'NONE', endpoints: [] }), []],
  [
    'has none that no control plane would choose',
    labelled(null, {}, { addresses: [{ value: '10.96.0.1', host: 'db.example.com' }, { value: '240.240.255.254' }] }),
    [],
  ],
] as const) {
  test(`for which addresses were chosen, ${what}`, () => {
    assert.deepEqual(derive(document).services.get('shop/db.example.com')?.vips, vips);
  });
}
