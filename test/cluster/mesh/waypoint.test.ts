import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { endpoint } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { installGatewayApi } from '../harness/gateway-api.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import { holds } from '../harness/objects.ts';
import type { Condition, KubernetesObject, Pod } from '../harness/objects.ts';
import { Operator } from '../harness/operator.ts';
import { authorizationPolicy, fromAccounts, serviceAccount } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { ask, askerPod, WebLoad, webPod } from '../harness/web.ts';
import type { Asked } from '../harness/web.ts';
import { service } from '../harness/workloads.ts';

const joined = { 'istio.io/dataplane-mode': 'ambient' };
const gatewayApi = 'gateway.networking.k8s.io/v1';
const ofWaypoint = 'gateway.networking.k8s.io/gateway-name=waypoint';

clusterSuite('a waypoint that the control plane deploys', () => {
  let cluster: Cluster;
  let mesh: InstalledMesh;
  let shop: TestNamespace;
  let first: Pod;
  let operator: Operator;

  before(async () => {
    cluster = await Cluster.attach();
    mesh = await InstalledMesh.ensure(cluster);
    await installGatewayApi(cluster);
    shop = await TestNamespace.create(cluster, 'waypoint', joined);
    await shop.apply(serviceAccount('buyer'), serviceAccount('owner'), web());
    for (const name of ['first', 'second']) await shop.apply(service(name, name, [80], onPort(8080)));
    [first] = (await shop.start(
      webPod('first', { node: 1 }),
      webPod('second', { node: 2 }),
      askerPod('buyer', { node: 2, serviceAccount: 'buyer' }),
      askerPod('owner', { node: 1, serviceAccount: 'owner' }),
    )) as [Pod];
    operator = await Operator.create(shop, operatorRules);
    await mesh.ambit(['waypoint', 'apply', '-n', shop.name, '--enroll-namespace', '--wait']);
    await cluster.until('an answer through the waypoint', async () => (await asked('buyer', '/')).status === 200);
  });

  after(async () => {
    await operator.remove();
    await shop.remove();
  });

  const asked = async (pod: string, path: string, options: Partial<Asked> = {}) => {
    const url = `http://${endpoint(await shop.serviceAddress('web'), 80)}${path}`;
    const [answer] = await ask(shop, pod, { url, ...options });
    return answer ?? assert.fail('no answer');
  };

  const conditionsOf = async (kind: string, name: string): Promise<readonly Condition[]> =>
    (await shop.get<{ readonly status?: { readonly conditions?: readonly Condition[] } }>([kind, name])).status
      ?.conditions ?? [];

  it('is a Gateway that says where it is, and a Service that says that it is bound', async () => {
    const gateway = await shop.get<{ readonly status: { readonly addresses: readonly { readonly value: string }[] } }>([
      'gateway',
      'waypoint',
    ]);
    assert.equal(gateway.status.addresses[0]?.value, `waypoint.${shop.name}.svc.cluster.local`);
    assert.ok(holds(await conditionsOf('gateway', 'waypoint'), 'Programmed'));
    await cluster.until('the condition of the Service', async () =>
      holds(await conditionsOf('service', 'web'), 'istio.io/WaypointBound'),
    );
  });

  it('is listed as Istio’s tools list it', async () => {
    const { stdout } = await mesh.ambit(['waypoint', 'list', '-A']);
    const row = stdout.split('\n').find((line) => line.startsWith(shop.name)) ?? '';
    assert.deepEqual(row.split(/ {2,}/), [shop.name, 'waypoint', 'default', 'service', 'True']);
  });

  it('is seen by an operator who may look, and change nothing', async () => {
    assert.match(await operator.ambit(['waypoint', 'status', '-n', shop.name]), /^waypoint +True +/m);
    await assert.rejects(operator.ambit(['waypoint', 'delete', '-n', shop.name, 'waypoint']), /403|forbidden/i);
    await assert.rejects(operator.exec(['true']), /forbidden/, 'who may run something there has the keys of the mesh');
  });

  it('has what the control plane tells it, as an operator sees', async () => {
    const [pod] = await shop.pods(ofWaypoint);
    const control = await mesh.controlPod();
    const row = async (name: string): Promise<readonly string[]> => {
      const table = await operator.ambitAtControl(['proxy-status', '-v', 'full']);
      return (table.split('\n').find((line) => line.startsWith(name)) ?? '').trim().split(/ {2,}/);
    };
    const envoy = `${pod?.metadata.name ?? ''}.${shop.name}`;
    const who = ['Kubernetes', control.metadata.name];
    await cluster.until('the waypoint in step', async () =>
      (await row(envoy)).join().includes('SYNCED,SYNCED,SYNCED,SYNCED,SYNCED'),
    );
    const full = await row(envoy);
    assert.deepEqual(full, [
      ...[envoy, ...who, full[3]],
      ...['SYNCED', 'SYNCED', 'SYNCED', 'SYNCED', 'SYNCED', 'IGNORED', 'IGNORED', `${shop.name}/waypoint`],
    ]);
    assert.match(full[3] ?? '', /^1[.]\d+[.]\d+$/, 'the version of Envoy');
    const agent = `${(await mesh.agentOn(1)).metadata.name}.istio-system`;
    assert.deepEqual((await row(agent)).slice(0, 3), [agent, ...who]);
    const short = await operator.ambitAtControl(['proxy-status']);
    assert.match(short, /^NAME +CLUSTER +ISTIOD +VERSION +SUBSCRIBED TYPES +WAYPOINT$/m);
    assert.match(short, new RegExp(`^${envoy} .* 5 \\(CDS,EDS,FCDS,LDS,RDS\\) +${shop.name}/waypoint$`, 'm'));
  });

  it('is told of services, where they are and how to get there, as an operator sees', async () => {
    const host = `web.${shop.name}.svc.cluster.local`;
    const rows = async (kind: string): Promise<readonly (readonly string[])[]> => {
      const table = await operator.ambitAtControl(['proxy-config', kind, `${shop.name}/waypoint`]);
      return table.split('\n').map((line) => line.trim().split(/ {2,}/));
    };
    const [clusterHeads, ...clusters] = await rows('clusters');
    assert.deepEqual(clusterHeads, ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE']);
    assert.deepEqual(
      clusters.find(([name]) => name === host),
      [host, '80', '-', 'inbound-vip', 'EDS', '-'],
    );
    const [endpointHeads, ...endpoints] = await rows('endpoints');
    assert.deepEqual(endpointHeads, ['NAME', 'STATUS', 'LOCALITY', 'CLUSTER']);
    const place = `${first.status.podIP ?? ''}:8080`;
    assert.deepEqual(endpoints.find(([name]) => name === place)?.slice(0, 3), [place, 'HEALTHY', 'test/zone-1']);
    const [listenerHeads, ...listeners] = await rows('listeners');
    assert.deepEqual(listenerHeads, ['CHAIN', 'MATCH', 'DESTINATION']);
    assert.ok(listeners.some(([name, match]) => name === `inbound-vip|80|http|${host}` && match === `${host}:80`));
    const [routeHeads, ...routes] = await rows('routes');
    assert.deepEqual(routeHeads, ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE']);
    assert.ok(routes.some(([name]) => name?.endsWith(host)));
  });

  it('leads requests by a route’s headers', async () => {
    await shop.apply(byHeader());
    const test = { headers: { 'x-cohort': 'test' } };
    await cluster.until('the route', async () => (await asked('buyer', '/', test)).server === 'second');
    assert.equal((await asked('buyer', '/')).server, 'first');
  });

  it('lets one identity read and another write', async () => {
    const [buyer = {}] = fromAccounts(shop.name, 'buyer');
    const [owner = {}] = fromAccounts(shop.name, 'owner');
    const targetRefs = [{ group: '', kind: 'Service', name: 'web' }];
    const rules = [{ ...buyer, to: [{ operation: { methods: ['GET'] } }] }, owner];
    await shop.apply(authorizationPolicy('readers', { targetRefs, action: 'ALLOW', rules }));
    await cluster.until('the refusal', async () => (await asked('buyer', '/', { method: 'POST' })).status === 403);
    assert.equal((await asked('buyer', '/')).status, 200);
    assert.equal((await asked('owner', '/', { method: 'POST' })).status, 200);
  });

  it('cannot be gone past', async () => {
    const url = `http://${endpoint(first.status.podIP ?? '', 8080)}/`;
    const [past] = await ask(shop, 'owner', { url });
    assert.equal(past?.status, 0, JSON.stringify(past));
    assert.equal((await asked('owner', '/')).status, 200);
  });

  it('is scaled and replaced without a request lost', async () => {
    const url = `http://${endpoint(await shop.serviceAddress('web'), 80)}/`;
    const loads = await Promise.all(['buyer', 'owner'].map((pod) => WebLoad.start(shop, pod, { url })));
    await scale(2);
    await scale(1);
    await shop.kubectl(['rollout', 'restart', 'deployment/waypoint']);
    await shop.kubectl(['rollout', 'status', 'deployment/waypoint', '--timeout=60s'], { timeout: 70_000 });
    await untilReplicas(1);
    const results = await Promise.all(loads.map((load) => load.finish()));
    console.log(`requests through the waypoint: ${JSON.stringify(results)}`);
    for (const result of results) {
      assert.deepEqual(Object.keys(result).toSorted(), ['kept 200', 'new 200'], JSON.stringify(result));
    }
  });

  it('is repaired, and goes with its Gateway', async () => {
    await shop.kubectl(['delete', 'service', 'waypoint']);
    await cluster.until('the Service to be there again', () => shop.kubectl(['get', 'service', 'waypoint']));
    await mesh.ambit(['waypoint', 'delete', '-n', shop.name, 'waypoint']);
    await cluster.until('the end of its pods', async () => (await shop.pods(ofWaypoint)).length === 0);
  });

  it('leaves a Service that asks for none without a condition', async () => {
    await shop.label('istio.io/use-waypoint', null);
    await cluster.until('the condition to go', async () => {
      const conditions = await conditionsOf('service', 'web');
      return conditions.every(({ type }) => type !== 'istio.io/WaypointBound');
    });
    await cluster.until('an answer without a waypoint', async () => (await asked('buyer', '/')).status === 200);
  });

  const scale = async (replicas: number): Promise<void> => {
    await shop.scale('waypoint', replicas);
    await untilReplicas(replicas);
  };

  const untilReplicas = async (replicas: number): Promise<void> => {
    await cluster.until(`${replicas} pods of the waypoint`, async () => {
      const pods = await shop.pods(ofWaypoint);
      return pods.length === replicas && pods.every(({ status }) => holds(status.conditions, 'Ready'));
    });
  };
});

/** As docs/waypoints.md has them. */
const operatorRules = {
  system: [
    { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
    { apiGroups: [''], resources: ['pods/portforward'], verbs: ['create'] },
  ],
  home: [{ apiGroups: ['gateway.networking.k8s.io'], resources: ['gateways'], verbs: ['get', 'list'] }],
};

/** Of `first`, unless a route says otherwise; its endpoints take nothing that comes past the waypoint. */
function web(): KubernetesObject {
  const { metadata, ...rest } = service('web', 'first', [80], onPort(8080));
  return { ...rest, metadata: { ...metadata, annotations: { 'ambit.dev/waypoint-required': 'true' } } };
}

function onPort(targetPort: number): object {
  return { ports: [{ name: 'http', port: 80, targetPort }] };
}

function byHeader(): KubernetesObject {
  const to = (name: string): object => ({ backendRefs: [{ name, port: 80 }] });
  const headers = [{ name: 'x-cohort', value: 'test' }];
  return {
    apiVersion: gatewayApi,
    kind: 'HTTPRoute',
    metadata: { name: 'cohorts' },
    spec: {
      parentRefs: [{ group: '', kind: 'Service', name: 'web', port: 80 }],
      rules: [{ matches: [{ headers }], ...to('second') }, to('first')],
    },
  };
}
