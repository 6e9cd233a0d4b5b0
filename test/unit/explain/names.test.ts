import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { requestFaults, resolveDestination, resolveSource } from '../../../src/explain/names.ts';
import { meshState, service, serviceKey, workload } from '../../support/mesh-builders.ts';

const client = workload('client', { addresses: ['10.0.0.1', 'fd00::1'] });
const web = workload('web', { addresses: ['10.0.0.2'] });
const entry = workload('web', { uid: 'Kubernetes/networking.istio.io/WorkloadEntry/default/twin', name: 'twin' });
const twin = workload('twin', { addresses: ['10.0.0.3'] });
const distant = workload('distant', { namespace: 'far', uid: 'Kubernetes//Pod/far/distant', addresses: ['10.0.0.4'] });
const shop = service('shop', { vips: ['fd00:96::1', '10.96.0.1'] });
const headless = service('headless', {});
const member = workload('member', { addresses: ['10.0.0.5'], services: new Map([[serviceKey(headless), new Map()]]) });
const hosted = ['far', 'near'].map((namespace) =>
  service('api', { namespace, hostname: 'api.example.com', vips: [namespace === 'far' ? '10.96.0.2' : '10.96.0.3'] }),
);
const secret = service('secret', {
  namespace: 'far',
  hostname: 'secret.far.svc.cluster.local',
  visibility: 'namespace',
});

const state = meshState({
  workloads: [client, web, entry, twin, distant, member],
  services: [shop, headless, ...hosted, secret],
});

const address = (destination: string, namespace = 'default'): string =>
  resolveDestination(state, { source: 'client', destination, namespace }, client).address;

const source = (text: string, namespace = 'default') =>
  resolveSource(state, { source: text, destination: 'x:1', namespace }).uid;

suite('the source of a connection', () => {
  test('is a pod by name, by namespace and name, or by uid', () => {
    for (const text of ['client', 'default/client', client.uid]) assert.equal(source(text), client.uid);
    assert.equal(source('distant', 'far'), distant.uid);
  });

  test('that nobody knows is told with names that are near', () => {
    assert.throws(() => source('cleint'), { code: requestFaults.unknown, message: /did you mean default\/client\?/ });
    assert.throws(() => source('distant'), { message: /far\/distant/ });
  });

  test('that may be one of several is told with each of them', () => {
    assert.throws(() => source('twin'), {
      code: requestFaults.ambiguous,
      message: /WorkloadEntry.*Pod\/default\/twin/,
    });
  });

  test('must be a pod', () => {
    const outside = workload('vm', { podUid: null });
    const request = { source: 'vm', destination: 'x:1', namespace: 'default' };
    assert.throws(() => resolveSource(meshState({ workloads: [outside] }), request), { code: requestFaults.invalid });
  });
});

suite('the destination of a connection', () => {
  test('is an address, also of IPv6', () => {
    assert.equal(address('10.9.9.9:80'), '10.9.9.9');
    assert.equal(address('[FD00::0:9]:80'), 'fd00::9');
  });

  test('is a pod', () => {
    assert.equal(address('web:80'), '10.0.0.2');
    assert.equal(address('far/distant:80'), '10.0.0.4');
  });

  test('is a host name, as long as one likes, in the family of the client', () => {
    for (const host of ['shop', 'shop.default', 'shop.default.svc', 'shop.default.svc.cluster.local.']) {
      assert.equal(address(`${host}:80`), '10.96.0.1', host);
    }
  });

  test('of a service without an address is one of its endpoints', () => {
    assert.equal(address('headless.default:80'), '10.0.0.5');
  });

  test('that several services answer to is told with each, and can be named with its namespace', () => {
    const own = (services: typeof hosted) =>
      resolveDestination(
        meshState({ workloads: [client], services }),
        { source: 'client', destination: 'api.example.com:443', namespace: 'default' },
        client,
      );
    assert.throws(() => own(hosted.map((value) => ({ ...value, canonical: false }))), {
      code: requestFaults.ambiguous,
    });
    assert.equal(address('near/api.example.com:443'), '10.96.0.3');
  });

  test('that only its own namespace sees is told so', () => {
    assert.throws(() => address('secret.far:80'), { message: /only its own namespace/ });
  });

  test('must have a port, and a name that somebody has', () => {
    for (const text of ['web', 'web:0', 'web:99999', ':80', 'a b:80']) {
      assert.throws(() => address(text), { code: requestFaults.invalid }, text);
    }
    assert.throws(() => address('shpo:80'), { code: requestFaults.unknown, message: /shop\.default\.svc/ });
    assert.throws(() => address(`${'x'.repeat(600)}:80`), { code: requestFaults.invalid });
  });
});
