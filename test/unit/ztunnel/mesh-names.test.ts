import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Service } from '../../../src/model/workload.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import { NODE, localPod, meshState, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

const client = workload('client', { node: NODE, addresses: ['10.1.0.1'] });
const asking = [localPod(client, { dnsCapture: true })];

async function named(...states: readonly StateParts[]): Promise<CacheModel> {
  const engine = new CacheModel();
  const plane = new DecisionPlane({
    node: NODE,
    engine,
    initial: meshState(),
    logger: silentLogger,
    onChange: () => undefined,
  });
  for (const { workloads = [], localPods = asking, ...rest } of states) {
    await plane.apply(meshState({ workloads: [client, ...workloads], localPods, ...rest }));
  }
  return engine;
}

const summary = ({ names }: CacheModel): Record<string, string> =>
  Object.fromEntries([...names.values()].map(({ key, addresses, ttl }) => [key, `${addresses.join()} ${ttl}`]));

const endpointOf = (of: Service, name: string, address: string, status: 'healthy' | 'unhealthy' = 'healthy') =>
  workload(name, { addresses: [address], status, services: new Map([[serviceKey(of), new Map([[80, 8080]])]]) });

suite('names of the mesh', () => {
  test('a service with addresses is named, in the families that it offers', async () => {
    const web = service('web', { vips: ['10.96.0.1', 'fd96::1'] });
    const four = service('four', { vips: ['10.96.0.2', 'fd96::2'], ipFamilies: 'ipv4' });
    assert.deepEqual(summary(await named({ services: [web, four] })), {
      'default/web.default.svc.cluster.local': '10.96.0.1,fd96::1 30',
      'default/four.default.svc.cluster.local': '10.96.0.2 30',
    });
  });

  test('a headless service stands for its endpoints, and those of a stateful set have names', async () => {
    const database = service('db');
    const first = { ...endpointOf(database, 'pg-0', '10.1.0.5'), workloadName: 'pg' };
    const second = endpointOf(database, 'pg-abc', '10.1.0.6');
    const unready = { ...endpointOf(database, 'pg-1', '10.1.0.7', 'unhealthy'), workloadName: 'pg' };
    const engine = await named({ services: [database], workloads: [first, second, unready] });
    assert.deepEqual(summary(engine), {
      'default/db.default.svc.cluster.local': '10.1.0.5,10.1.0.6 5',
      'default/pg-0.db.default.svc.cluster.local': '10.1.0.5 5',
    });
  });

  test('endpoints that are not ready are named where the service says so', async () => {
    const loadBalancing = { mode: 'standard', scopes: [], healthPolicy: 'allow-all' } as const;
    const database = service('db', { loadBalancing });
    const unready = endpointOf(database, 'pg', '10.1.0.7', 'unhealthy');
    const engine = await named({ services: [database], workloads: [unready] });
    assert.equal(summary(engine)['default/db.default.svc.cluster.local'], '10.1.0.7 5');
  });

  test('what has no address here is left to the resolver', async () => {
    const outside = service('api', { hostname: 'api.example.com' });
    const endpoint = endpointOf(outside, 'entry', '10.1.0.9');
    assert.deepEqual(summary(await named({ services: [outside, service('empty')], workloads: [endpoint] })), {});
  });

  test('names follow services and endpoints, and go with them', async () => {
    const database = service('db');
    const web = service('web', { vips: ['10.96.0.1'] });
    const pod = { ...endpointOf(database, 'pg-0', '10.1.0.5'), workloadName: 'pg' };
    const before = { services: [database, web], workloads: [pod] };
    const moved = { services: [database, web], workloads: [{ ...pod, addresses: ['10.1.0.8'] }] };
    assert.equal(summary(await named(before, moved))['default/pg-0.db.default.svc.cluster.local'], '10.1.0.8 5');
    assert.deepEqual(Object.keys(summary(await named(before, { services: [web], workloads: [pod] }))), [
      'default/web.default.svc.cluster.local',
    ]);
  });

  test('a node none of whose pods asks keeps no names, until one does', async () => {
    const services = [service('web', { vips: ['10.96.0.1'] })];
    const silent = { services, localPods: [localPod(client)] };
    assert.deepEqual(summary(await named(silent)), {});
    assert.equal(Object.keys(summary(await named(silent, { services }))).length, 1);
  });

  test('nobody names for others below the domain of the cluster', async () => {
    const entry = (hostname: string): Service =>
      service(hostname, { hostname, namespace: 'evil', vips: ['240.240.0.1'], canonical: true });
    const hosts = [
      'payments.prod.svc.cluster.local',
      '*.cluster.local',
      '*.local',
      '*.prod.svc.cluster.local',
      'cluster.local',
    ];
    const own = ['mine.evil.svc.cluster.local', '*.evil.svc.cluster.local', 'api.example.com', '*.example.com'];
    const engine = await named({ services: [...hosts, ...own].map(entry) });
    const seen = [...engine.names.values()].filter((record) => record.public).map(({ name }) => name);
    assert.deepEqual(seen.sort(), own.sort());
  });
});
