import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { KubeObject } from '../../../../src/kube/objects.ts';
import { waitFor } from '../../../support/wait.ts';
import { doorSpec, gatewayApi, gatewayObject, startDeployer } from './rig.ts';
import type { DeployerRig } from './rig.ts';

const fast = { interval: 2, timeout: 5000 };
const gateways = `${gatewayApi}/gateways`;
const objectPaths = {
  account: '/api/v1/namespaces/shop/serviceaccounts/waypoint',
  service: '/api/v1/namespaces/shop/services/waypoint',
  deployment: '/apis/apps/v1/namespaces/shop/deployments/waypoint',
};
const statusPath = `${gatewayApi}/namespaces/shop/gateways/waypoint/status`;

function count({ written }: DeployerRig, path: string): number {
  return written().filter((line) => line === `PATCH ${path}`).length;
}

interface Said {
  readonly addresses: readonly { readonly value: string }[];
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

function statusOf({ server }: DeployerRig): Said {
  const last = server.requests.filter(({ path, method }) => method === 'PATCH' && path === statusPath).at(-1);
  return (last?.body as { readonly status: Said } | undefined)?.status ?? { addresses: [], conditions: [] };
}

function said(rig: DeployerRig, type: string): string {
  return statusOf(rig).conditions.find((condition) => condition.type === type)?.status ?? '';
}

function reason(rig: DeployerRig, type: string): string {
  return statusOf(rig).conditions.find((condition) => condition.type === type)?.message ?? '';
}

/** As its controllers report it. */
function serve({ put, stored }: DeployerRig): void {
  const live = (path: string, more: object): KubeObject => ({ ...stored(path), ...more }) as unknown as KubeObject;
  const service = stored(objectPaths.service)?.spec ?? {};
  put('/api/v1/services', live(objectPaths.service, { spec: { ...service, clusterIPs: ['10.0.0.9'] } }));
  put('/apis/apps/v1/deployments', live(objectPaths.deployment, { status: { availableReplicas: 1 } }));
}

describe('the deployer of waypoints', () => {
  it('makes the objects of a Gateway, and the class', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => Object.values(objectPaths).every((path) => count(rig, path) === 1), fast);
    await waitFor(() => count(rig, `${gatewayApi}/gatewayclasses/istio-waypoint`) === 1, fast);
    assert.equal(
      rig.server.requests.find(({ method }) => method === 'PATCH')?.query['fieldManager'],
      'ambit-waypoints',
    );
  });

  it('says where it is and that it serves, once both are so', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => said(rig, 'Programmed') === 'False' && rig.stored(objectPaths.deployment) !== null, fast);
    serve(rig);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    assert.deepEqual(
      statusOf(rig).addresses.map(({ value }) => value),
      ['waypoint.shop.svc.cluster.local', '10.0.0.9'],
    );
  });

  it('leaves what is as it should be', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    serve(rig);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    const spec = { ...rig.stored(objectPaths.service)?.spec, clusterIPs: ['10.0.0.9', 'fd00::9'] };
    rig.put('/api/v1/services', { ...rig.stored(objectPaths.service), spec } as unknown as KubeObject);
    await waitFor(() => statusOf(rig).addresses.length === 3, fast);
    for (const path of Object.values(objectPaths)) assert.equal(count(rig, path), 1);
  });

  it('repairs what somebody has changed or removed', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    const deployment = rig.stored(objectPaths.deployment) as unknown as KubeObject;
    rig.put('/apis/apps/v1/deployments', { ...deployment, spec: {} } as KubeObject);
    await waitFor(() => count(rig, objectPaths.deployment) === 2, fast);
    rig.server.onRead = () => null;
    rig.server.remove('/api/v1/services', 'shop/waypoint');
    await waitFor(() => count(rig, objectPaths.service) === 2, fast);
  });

  it('takes over nothing that somebody else has made, and says so', async (context) => {
    const rig = await startDeployer(context);
    const { onRead } = rig.server;
    const foreign = { kind: 'Service', metadata: { name: 'waypoint', namespace: 'shop' } };
    rig.server.onRead = (path, query) => (path === objectPaths.service ? foreign : onRead(path, query));
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => /Service shop\/waypoint already/.test(statusOf(rig).conditions[1]?.message ?? ''), fast);
    assert.equal(count(rig, objectPaths.service), 0);
    assert.equal(said(rig, 'Programmed'), 'False');
  });

  for (const [what, metadata, spec] of [
    ['of another class', {}, { gatewayClassName: 'other' }],
    ['that a newer controller has taken over', { annotations: { 'gateway.istio.io/controller-version': '6' } }, {}],
    ['that stands for a waypoint elsewhere', {}, { addresses: [{ type: 'Hostname', value: 'edge.example' }] }],
    ['that is going', { deletionTimestamp: '2030-01-01T00:00:00Z' }, {}],
  ] as const) {
    it(`leaves a Gateway alone ${what}`, async (context) => {
      const rig = await startDeployer(context);
      rig.put(gateways, gatewayObject({ ...metadata, name: 'left' }, spec));
      rig.put(gateways, gatewayObject());
      rig.run();
      await waitFor(() => count(rig, statusPath) > 0, fast);
      assert.deepEqual(
        rig.written().filter((line) => line.includes('left')),
        [],
      );
    });
  }

  it('deploys Gateways of any class that is of its controller', async (context) => {
    const rig = await startDeployer(context);
    const spec = { controllerName: 'istio.io/mesh-controller' };
    rig.put(`${gatewayApi}/gatewayclasses`, { metadata: { name: 'mine' }, spec } as KubeObject);
    rig.put(gateways, gatewayObject({}, { gatewayClassName: 'mine' }));
    rig.run();
    await waitFor(() => count(rig, objectPaths.deployment) === 1, fast);
  });

  it('says in the status what is noted of the Gateway, and takes it back', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    serve(rig);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    rig.notes.push({ resource: 'Gateway shop/waypoint', type: 'Programmed', reason: 'Invalid', message: 'refused' });
    rig.timers.advance(1000);
    await waitFor(() => said(rig, 'Programmed') === 'False', fast);
    rig.notes.pop();
    rig.timers.advance(1000);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
  });

  it('says what the API server refuses, and tries again', async (context) => {
    const rig = await startDeployer(context);
    const { onWrite } = rig.server;
    rig.server.onWrite = (request) =>
      request.path === objectPaths.deployment
        ? { status: 422, body: { kind: 'Status', code: 422, reason: 'Invalid', message: 'quota' } }
        : onWrite(request);
    rig.put(gateways, gatewayObject());
    rig.run();
    await waitFor(() => /quota/.test(statusOf(rig).conditions[1]?.message ?? ''), fast);
    rig.server.onWrite = onWrite;
    await waitFor(() => {
      rig.timers.advance(1000);
      return rig.stored(objectPaths.deployment) !== null;
    }, fast);
    assert.ok(rig.failures.length > 0);
  });

  it('lays the parameters of the Gateway over its objects, and makes what they ask for', async (context) => {
    const rig = await startDeployer(context);
    withParameters(rig, {
      deployment: 'spec: { template: { spec: { containers: [{ name: istio-proxy, image: mine }] } } }',
      podDisruptionBudget: 'spec: { minAvailable: 1 }',
    });
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    assert.match(JSON.stringify(rig.stored(objectPaths.deployment)), /"image":"mine"/);
    const budget = '/apis/policy/v1/namespaces/shop/poddisruptionbudgets/waypoint';
    await waitFor(() => rig.stored(budget)?.spec?.['minAvailable'] === 1, fast);
  });

  it('refuses parameters that would make other objects of the waypoint’s', async (context) => {
    const rig = await startDeployer(context);
    withParameters(rig, { service: 'metadata: { name: other }' });
    rig.run();
    await waitFor(() => said(rig, 'Accepted') === 'False', fast);
    assert.equal(count(rig, objectPaths.service), 0);
  });

  for (const [what, metadata, infrastructure] of [
    ['parameters', {}, { parametersRef: { group: '', kind: 'ConfigMap', name: '../../bank/configmaps/mine' } }],
    ['objects', { annotations: { 'gateway.istio.io/name-override': '../bank' } }, {}],
    ['an account', { annotations: { 'gateway.istio.io/service-account': 'a/token' } }, {}],
  ] as const) {
    it(`refuses names of ${what} that lead elsewhere`, async (context) => {
      const rig = await startDeployer(context);
      rig.put(gateways, gatewayObject(metadata, { infrastructure }));
      rig.run();
      await waitFor(() => /which is no name of an object/.test(reason(rig, 'Accepted')), fast);
      assert.ok(rig.server.requests.every(({ path }) => !path.includes('bank') && !path.includes('token')));
      assert.equal(count(rig, objectPaths.deployment), 0);
    });
  }

  it('refuses parameters and annotations that would have more than a plain pod', async (context) => {
    const rig = await startDeployer(context);
    withParameters(rig, { deployment: 'spec: { template: { spec: { hostNetwork: true } } }' });
    rig.run();
    await waitFor(() => /set spec\.template\.spec\.hostNetwork/.test(reason(rig, 'Accepted')), fast);
    const annotations = { 'container.apparmor.security.beta.kubernetes.io/istio-proxy': 'unconfined' };
    rig.put(gateways, gatewayObject({}, { infrastructure: { annotations } }));
    await waitFor(() => /infrastructure\.annotations set container\.apparmor/.test(reason(rig, 'Accepted')), fast);
    assert.equal(count(rig, objectPaths.deployment), 0);
  });

  it('accepts no Gateway whose parameters are not there', async (context) => {
    const rig = await startDeployer(context);
    withParameters(rig, null);
    rig.run();
    await waitFor(() => said(rig, 'Accepted') === 'False', fast);
    assert.match(statusOf(rig).conditions[0]?.message ?? '', /ConfigMap shop\/mine, which is not there/);
  });
});

describe('the deployer of gateways', () => {
  const door = { name: 'waypoint', namespace: 'shop', uid: 'uid-of-gateway', generation: 3 };
  const portsOf = (rig: DeployerRig): readonly number[] =>
    ((rig.stored(objectPaths.service)?.spec?.['ports'] ?? []) as readonly { readonly port: number }[]).map(
      ({ port }) => port,
    );
  const report = (...ports: readonly number[]) => ({
    ports: ports.map((number) => ({ number, protocol: 'http', http3: false }) as const),
    listeners: [],
    conditions: [],
  });
  /** As whoever makes load balancers. */
  const balance = (rig: DeployerRig, ingress: readonly object[]): void => {
    const service = rig.stored(objectPaths.service);
    rig.put('/api/v1/services', { ...service, status: { loadBalancer: { ingress } } } as unknown as KubeObject);
    const deployment = { ...rig.stored(objectPaths.deployment), status: { availableReplicas: 1 } };
    rig.put('/apis/apps/v1/deployments', deployment as unknown as KubeObject);
  };

  it('makes the objects of a Gateway, and the class', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject(door, doorSpec));
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    await waitFor(() => count(rig, `${gatewayApi}/gatewayclasses/istio`) === 1, fast);
    await waitFor(() => count(rig, `${gatewayApi}/gatewayclasses/istio/status`) > 0, fast);
    assert.equal(rig.stored(objectPaths.service)?.spec?.['type'], 'LoadBalancer');
  });

  it('accepts further classes of its controller, and no others', async (context) => {
    const rig = await startDeployer(context);
    const put = (name: string, controllerName: string): void => {
      rig.put(`${gatewayApi}/gatewayclasses`, {
        metadata: { name, generation: 4 },
        spec: { controllerName },
      } as KubeObject);
    };
    put('others', 'example.com/controller');
    put('edge', 'istio.io/gateway-controller');
    rig.run();
    const path = `${gatewayApi}/gatewayclasses/edge/status`;
    await waitFor(() => count(rig, path) > 0, fast);
    const { body } = rig.server.requests.find((request) => request.path === path) ?? {};
    assert.match(JSON.stringify(body), /"observedGeneration":4/);
    await waitFor(() => count(rig, `${gatewayApi}/gatewayclasses/istio/status`) > 0, fast);
    assert.ok(rig.written().every((line) => !line.includes('others')));
  });

  it('says where the load balancer is', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject(door, doorSpec));
    rig.reports.set('Gateway shop/waypoint', report());
    rig.run();
    await waitFor(() => /nobody has made a load balancer/.test(reason(rig, 'Programmed')), fast);
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    balance(rig, [{ ip: '192.0.2.7' }, { hostname: 'edge.example' }]);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    assert.deepEqual(statusOf(rig).addresses, [
      { type: 'IPAddress', value: '192.0.2.7' },
      { type: 'Hostname', value: 'edge.example' },
    ]);
  });

  it('says the addresses in the cluster of a Gateway that asks for no load balancer', async (context) => {
    const rig = await startDeployer(context);
    const annotations = { 'networking.istio.io/service-type': 'ClusterIP' };
    rig.put(gateways, gatewayObject({ ...door, annotations }, doorSpec));
    rig.reports.set('Gateway shop/waypoint', report());
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    serve(rig);
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    assert.deepEqual(
      statusOf(rig).addresses.map(({ value }) => value),
      ['10.0.0.9'],
    );
  });

  it('opens the ports of ListenerSets as they come', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject(door, doorSpec));
    rig.run();
    await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
    assert.deepEqual(portsOf(rig), [15021, 80, 443]);
    rig.reports.set('Gateway shop/waypoint', report(80, 443, 8443));
    rig.timers.advance(1000);
    await waitFor(() => portsOf(rig).includes(8443), fast);
    assert.equal(count(rig, objectPaths.deployment), 1);
  });

  it('deploys nothing for a Gateway that is elsewhere, and says what becomes of it', async (context) => {
    const rig = await startDeployer(context);
    const addresses = [{ type: 'Hostname', value: 'edge.shop.svc.cluster.local' }];
    rig.put(gateways, gatewayObject(door, { ...doorSpec, addresses }));
    rig.reports.set('Gateway shop/waypoint', report());
    rig.run();
    await waitFor(() => said(rig, 'Programmed') === 'True', fast);
    assert.deepEqual(statusOf(rig).addresses, addresses);
    assert.equal(rig.stored(objectPaths.deployment), null);
  });

  it('accepts no address of a kind that it does not know', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject(door, { ...doorSpec, addresses: [{ type: 'example.com/x', value: 'y' }] }));
    rig.run();
    await waitFor(() => said(rig, 'Accepted') === 'False', fast);
    assert.match(reason(rig, 'Accepted'), /example\.com\/x/);
    assert.equal(rig.stored(objectPaths.deployment), null);
  });
});

describe('an account that a Gateway names', () => {
  const annotations = { 'gateway.istio.io/service-account': 'till' };
  const account = (more: object): KubeObject => ({ metadata: { name: 'till', namespace: 'shop', ...more } });
  const lent = (to: string): KubeObject => account({ annotations: { 'ambit.dev/used-by-waypoints': to } });

  for (const [what, found] of [
    ['that is not there', null],
    ['that says nothing of it', account({})],
    ['that is for other waypoints', lent('other, another')],
    [
      'that is another waypoint’s',
      account({
        ownerReferences: [{ uid: 'other' }],
        labels: { 'gateway.istio.io/managed': 'istio.io-mesh-controller' },
      }),
    ],
  ] as const) {
    it(`is not run as ${what}`, async (context) => {
      const rig = await startDeployer(context);
      if (found !== null) rig.put('/api/v1/serviceaccounts', found);
      rig.put(gateways, gatewayObject({ annotations }));
      rig.run();
      await waitFor(() => /ServiceAccount shop\/till, wh/.test(reason(rig, 'Accepted')), fast);
      assert.equal(said(rig, 'Accepted'), 'False');
      assert.equal(count(rig, objectPaths.deployment), 0);
    });
  }

  for (const to of ['waypoint', '*', 'other, waypoint'])
    it(`is run as where it says it is for ${to}, and without its token`, async (context) => {
      const rig = await startDeployer(context);
      rig.put('/api/v1/serviceaccounts', lent(to));
      rig.put(gateways, gatewayObject({ annotations }));
      rig.run();
      await waitFor(() => rig.stored(objectPaths.deployment) !== null, fast);
      const deployment = JSON.stringify(rig.stored(objectPaths.deployment));
      assert.match(deployment, /"serviceAccountName":"till"/);
      assert.match(deployment, /"automountServiceAccountToken":false/);
      assert.equal(count(rig, '/api/v1/namespaces/shop/serviceaccounts/till'), 0);
    });

  it('is looked at again', async (context) => {
    const rig = await startDeployer(context);
    rig.put(gateways, gatewayObject({ annotations }));
    rig.run();
    await waitFor(() => said(rig, 'Accepted') === 'False', fast);
    rig.put('/api/v1/serviceaccounts', lent('waypoint'));
    await waitFor(() => {
      rig.timers.advance(1000);
      return rig.stored(objectPaths.deployment) !== null;
    }, fast);
  });
});

function withParameters(rig: DeployerRig, data: Readonly<Record<string, string>> | null): void {
  const { onRead } = rig.server;
  const path = '/api/v1/namespaces/shop/configmaps/mine';
  const parametersRef = { group: '', kind: 'ConfigMap', name: 'mine' };
  rig.server.onRead = (asked, query) => (asked === path && data !== null ? { data } : onRead(asked, query));
  rig.put(gateways, gatewayObject({}, { infrastructure: { parametersRef } }));
}
