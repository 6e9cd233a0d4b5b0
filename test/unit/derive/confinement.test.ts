import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derive, meshSettings, pod, service, serviceEntry } from './support.ts';

interface Claim {
  readonly namespace?: string;
  readonly created?: string;
  readonly spec?: object;
  readonly status?: object;
}

function claim(name: string, { namespace = 'thief', created = '2026-06-01T00:00:00Z', spec = {}, status }: Claim) {
  const written = JSON.parse(
    serviceEntry(name, {
      hosts: [`${name}.example.com`],
      addresses: ['192.0.2.1'],
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
      endpoints: [{ address: '198.51.100.1' }],
      ...spec,
    }),
  ) as { metadata: object };
  const metadata = { ...written.metadata, namespace, creationTimestamp: created };
  return JSON.stringify({ ...written, metadata, ...(status === undefined ? {} : { status }) });
}

/** `namespace/host visibility canonical` of services of entries, and the reasons of conditions. */
function seen(...documents: readonly string[]): {
  readonly public: readonly string[];
  readonly reasons: readonly string[];
} {
  const { services, conditions } = derive(...documents);
  const open = [...services].filter(([, { visibility }]) => visibility === 'public').map(([key]) => key);
  const reasons = conditions.filter(({ reason }) => reason === 'NotItsOwn').map(({ resource }) => resource);
  return { public: open.sort(), reasons };
}

void describe('an entry of one namespace for what is another one’s', () => {
  const web = service('web', { clusterIP: '10.96.0.1', ports: [{ port: 80 }] });
  for (const host of ['web.shop.svc.cluster.local', 'web.shop.svc', 'web-0.web.shop.svc.cluster.local', 'x.gone.svc']) {
    test(`acts for the name ${host} in its own alone`, () => {
      const taken = claim('taken', { spec: { hosts: [host] } });
      assert.deepEqual(seen(web, taken), {
        public: ['shop/web.shop.svc.cluster.local'],
        reasons: ['ServiceEntry thief/taken'],
      });
    });
  }

  test('acts for a name of its own for all', () => {
    const own = claim('own', { spec: { hosts: ['x.thief.svc.cluster.local'] } });
    assert.deepEqual(seen(own), { public: ['thief/x.thief.svc.cluster.local'], reasons: [] });
  });

  for (const address of ['169.254.169.254', 'fe80::1', '100.100.100.200', '10.0.0.9']) {
    test(`acts for ${address} in its own alone, where that is a node's or a cloud's`, () => {
      const onHost = pod('host', { status: { podIPs: [{ ip: '10.0.0.9' }] }, spec: { hostNetwork: true } });
      const taken = claim('taken', { spec: { addresses: [address] } });
      assert.deepEqual(seen(onHost, taken), { public: [], reasons: ['ServiceEntry thief/taken'] });
    });
  }

  const old = claim('old', { namespace: 'shop', created: '2026-01-01T00:00:00Z' });
  test('leaves an address to the older one, but not to one that nobody else sees', () => {
    const taken = claim('a', {});
    assert.deepEqual(seen(taken, old), { public: ['shop/old.example.com'], reasons: ['ServiceEntry thief/a'] });
    const hidden = claim('old', { namespace: 'shop', created: '2026-01-01T00:00:00Z', spec: { exportTo: ['.'] } });
    assert.deepEqual(seen(taken, hidden), { public: ['thief/a.example.com'], reasons: [] });
  });

  test('may have the same host and the same address', () => {
    const same = claim('a', { spec: { hosts: ['old.example.com'] } });
    assert.deepEqual(seen(same, old).reasons, []);
  });

  test('leaves an address that was chosen for a host, however old it is', () => {
    const chosen = claim('chosen', {
      namespace: 'shop',
      spec: { addresses: [] },
      status: { addresses: [{ host: 'chosen.example.com', value: '240.240.0.7' }] },
    });
    const taken = claim('a', { created: '2020-01-01T00:00:00Z', spec: { addresses: ['240.240.0.7'] } });
    assert.deepEqual(seen(taken, chosen), {
      public: ['shop/chosen.example.com'],
      reasons: ['ServiceEntry thief/a'],
    });
  });

  test('is for all in the root namespace', () => {
    const root = claim('root', { namespace: 'istio-system', spec: { addresses: ['169.254.169.254'] } });
    assert.deepEqual(seen(meshSettings({}), root), { public: ['istio-system/root.example.com'], reasons: [] });
  });
});
