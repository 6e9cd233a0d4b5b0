import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, it } from 'node:test';

import { TestAuthority } from '../../support/test-authority.ts';
import { endpoint } from '../../support/testkit.ts';
import { Cluster } from '../harness/cluster.ts';
import { installGatewayApi } from '../harness/gateway-api.ts';
import { InstalledMesh } from '../harness/mesh.ts';
import { TestNamespace } from '../harness/namespace.ts';
import { holds } from '../harness/objects.ts';
import type { Condition, KubernetesObject, Pod } from '../harness/objects.ts';
import { authorizationPolicy, fromAccounts, strict } from '../harness/policies.ts';
import { clusterSuite } from '../harness/suite.ts';
import { ask, askerPod, WebLoad, webPod } from '../harness/web.ts';
import type { Answer, Asked } from '../harness/web.ts';
import { service } from '../harness/workloads.ts';

const joined = { 'istio.io/dataplane-mode': 'ambient' };
const gatewayApi = 'gateway.networking.k8s.io/v1';
const ofGateway = 'gateway.networking.k8s.io/gateway-name=web';
const host = 'shop.example';

interface Gateway {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly value: string }[];
    readonly conditions?: readonly Condition[];
    readonly listeners?: readonly {
      readonly name: string;
      readonly attachedRoutes: number;
      readonly conditions: readonly Condition[];
    }[];
  };
}

interface Route {
  readonly status?: {
    readonly parents?: readonly { readonly controllerName: string; readonly conditions: readonly Condition[] }[];
  };
}

clusterSuite('a gateway that the control plane deploys', () => {
  let cluster: Cluster;
  let shop: TestNamespace;
  let edge: TestNamespace;
  let outside: TestNamespace;
  let authority: TestAuthority;
  let web: Pod;

  before(async () => {
    cluster = await Cluster.attach();
    await InstalledMesh.ensure(cluster);
    await installGatewayApi(cluster);
    authority = await TestAuthority.create();
    shop = await TestNamespace.create(cluster, 'gateway-shop', joined);
    edge = await TestNamespace.create(cluster, 'gateway-edge');
    outside = await TestNamespace.create(cluster, 'gateway-outside');
    const rules = fromAccounts(edge.name, 'web');
    await shop.apply(strict(), authorizationPolicy('from-gateway', { action: 'ALLOW', rules }));
    await shop.apply(service('web', 'web', [80], { ports: [{ name: 'http', port: 80, targetPort: 8080 }] }));
    [web] = (await shop.start(webPod('web', { node: 2 }))) as [Pod];
    await shop.untilRedirected(['web'], 'enabled');
    await outside.start(askerPod('near', { node: 1 }), askerPod('far', { node: 2 }));
    await edge.apply(await certificate(), gateway());
    await shop.apply(route(edge.name));
  });

  after(async () => {
    for (const namespace of [edge, outside, shop]) await namespace.remove();
  });

  const certificate = async (): Promise<KubernetesObject> => {
    const { key, certificate: chain } = await authority.server([host]);
    const stringData = { 'tls.key': key, 'tls.crt': chain };
    return { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: 'shop' }, stringData };
  };

  const place = async (scheme: 'http' | 'https') => ({
    url: `${scheme}://${endpoint(await edge.serviceAddress('web'), scheme === 'http' ? 80 : 443)}/`,
    headers: { host },
    ...(scheme === 'http' ? {} : { ca: authority.roots, servername: host }),
  });

  const asked = async (pod: string, scheme: 'http' | 'https', options: Partial<Asked> = {}): Promise<Answer> => {
    const [answer] = await ask(outside, pod, { ...(await place(scheme)), ...options });
    return answer ?? assert.fail('no answer');
  };

  const status = async (name = 'web') => (await edge.get<Gateway>(['gateway', name])).status ?? {};

  const conditionOf = async (type: string, listener?: string): Promise<Condition | undefined> => {
    const { conditions, listeners = [] } = await status();
    const said = listener === undefined ? conditions : listeners.find(({ name }) => name === listener)?.conditions;
    return said?.find((condition) => condition.type === type);
  };

  it('is of a class that is there by itself', async () => {
    await cluster.until('the class', async () => {
      const found = await cluster.get<{ readonly status?: { readonly conditions?: readonly Condition[] } }>([
        'gatewayclass',
        'istio',
      ]);
      return holds(found.status?.conditions, 'Accepted');
    });
  });

  it('has pods, and a Service with the ports of its listeners', async () => {
    await cluster.until('a pod', async () => {
      const pods = await edge.pods(ofGateway);
      return pods.some(({ status: { conditions } }) => holds(conditions, 'Ready'));
    });
    const { spec } = await edge.get<{ readonly spec: { readonly ports: readonly { readonly port: number }[] } }>([
      'service',
      'web',
    ]);
    assert.deepEqual(
      spec.ports.map(({ port }) => port),
      [15021, 80, 443],
    );
  });

  it('says that nobody makes load balancers here, and what helps', async () => {
    await edge.apply(balancedGateway());
    await cluster.until('the condition', async () => {
      const { conditions = [] } = await status('balanced');
      const said = conditions.find(({ type }) => type === 'Programmed');
      return said?.reason === 'AddressNotAssigned' && /service-type/.test(said.message ?? '');
    });
  });

  it('leads clients outside of the mesh to services inside', async () => {
    for (const pod of ['near', 'far'])
      await cluster.until(`an answer for ${pod}`, async () => (await asked(pod, 'http')).server === 'web');
    const [past] = await ask(outside, 'near', { url: `http://${endpoint(web.status.podIP ?? '', 8080)}/` });
    assert.equal(past?.status, 0, 'only with the identity of the gateway');
  });

  it('closes the listener whose Secret the control plane may not read, and says what would let it', async () => {
    await cluster.until('the condition', async () => {
      const { status: state, message = '' } = (await conditionOf('ResolvedRefs', 'secure')) ?? {};
      return state === 'False' && message.includes(`may not read Secret ${edge.name}/shop`);
    });
    assert.equal((await conditionOf('Programmed', 'web'))?.status, 'True');
    assert.equal((await asked('near', 'https')).status, 0);
    assert.equal((await asked('near', 'http')).status, 200);
  });

  it('serves HTTPS once it may', async () => {
    const role = ['--verb=get,list,watch', '--resource=secrets', '--resource-name=shop'];
    await edge.kubectl(['create', 'role', 'certificates', ...role]);
    const binding = ['--role=certificates', '--serviceaccount=istio-system:istiod'];
    await edge.kubectl(['create', 'rolebinding', 'certificates', ...binding]);
    await cluster.until('an answer', async () => (await asked('near', 'https')).server === 'web', { timeout: 120_000 });
    await cluster.until('the condition', async () => (await conditionOf('Programmed', 'secure'))?.status === 'True');
    assert.equal((await asked('near', 'https', { servername: 'other.example' })).status, 0);
  });

  it('says where it is, which routes it has, and to these that they are in force', async () => {
    await cluster.until('the address', async () => {
      const { addresses = [] } = await status();
      return addresses[0]?.value === (await edge.serviceAddress('web'));
    });
    await cluster.until('the routes', async () => {
      const { listeners = [] } = await status();
      return listeners.every(({ attachedRoutes }) => attachedRoutes === 1);
    });
    await cluster.until('the status of the route', async () => {
      const { parents = [] } = (await shop.get<Route>(['httproute', 'web'])).status ?? {};
      const said = parents.find(({ controllerName }) => controllerName === 'istio.io/gateway-controller');
      return holds(said?.conditions, 'Accepted') && holds(said?.conditions, 'ResolvedRefs');
    });
  });

  it('takes another certificate without losing a request', async () => {
    const loads = await startLoads();
    const next = await certificate();
    const { serialNumber } = new X509Certificate((next['stringData'] as { 'tls.crt': string })['tls.crt']);
    await edge.apply(next);
    await cluster.until('the other certificate', async () => {
      const { certificate: shown } = await asked('near', 'https');
      return BigInt(`0x${shown ?? '0'}`) === BigInt(`0x${serialNumber}`);
    });
    await assertNothingLost(loads);
  });

  it('is scaled and replaced without a request lost', async () => {
    const loads = await startLoads();
    await scale(2);
    await scale(1);
    await edge.kubectl(['rollout', 'restart', 'deployment/web']);
    await edge.kubectl(['rollout', 'status', 'deployment/web', '--timeout=60s'], { timeout: 70_000 });
    await untilReplicas(1);
    await assertNothingLost(loads);
  });

  it('opens a port when a listener comes', async () => {
    const more = { name: 'more', port: 8080, protocol: 'HTTP', ...fromAll };
    const [pod] = await edge.pods(ofGateway);
    await edge.apply(gateway(more));
    const url = `http://${endpoint(await edge.serviceAddress('web'), 8080)}/`;
    await cluster.until('an answer', async () => (await asked('near', 'http', { url })).server === 'web');
    assert.equal((await edge.pods(ofGateway))[0]?.metadata.uid, pod?.metadata.uid, 'by the same pod');
  });

  it('goes with its Gateway', async () => {
    await edge.kubectl(['delete', 'gateway', 'web']);
    await cluster.until('the end of its pods', async () => (await edge.pods(ofGateway)).length === 0);
  });

  const startLoads = async (): Promise<readonly WebLoad[]> => {
    const load = await place('https');
    return Promise.all(['near', 'far'].map((pod) => WebLoad.start(outside, pod, load)));
  };

  const assertNothingLost = async (loads: readonly WebLoad[]): Promise<void> => {
    const results = await Promise.all(loads.map((load) => load.finish()));
    console.log(`requests through the gateway: ${JSON.stringify(results)}`);
    for (const result of results)
      assert.deepEqual(Object.keys(result).toSorted(), ['kept 200', 'new 200'], JSON.stringify(result));
  };

  const scale = async (replicas: number): Promise<void> => {
    await edge.scale('web', replicas);
    await untilReplicas(replicas);
  };

  const untilReplicas = async (replicas: number): Promise<void> => {
    await cluster.until(`${replicas} pods of the gateway`, async () => {
      const pods = await edge.pods(ofGateway);
      return pods.length === replicas && pods.every(({ status: { conditions } }) => holds(conditions, 'Ready'));
    });
  };
});

const fromAll = { allowedRoutes: { namespaces: { from: 'All' } } };

/** Reached in the cluster: the test cluster has no load balancers. */
function gateway(...more: readonly object[]): KubernetesObject {
  const tls = { certificateRefs: [{ name: 'shop' }] };
  const listeners = [
    { name: 'web', port: 80, protocol: 'HTTP', ...fromAll },
    { name: 'secure', port: 443, protocol: 'HTTPS', hostname: host, tls, ...fromAll },
    ...more,
  ];
  const annotations = { 'networking.istio.io/service-type': 'ClusterIP' };
  return {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: { name: 'web', annotations },
    spec: { gatewayClassName: 'istio', listeners },
  };
}

function balancedGateway(): KubernetesObject {
  const listeners = [{ name: 'web', port: 80, protocol: 'HTTP' }];
  return {
    apiVersion: gatewayApi,
    kind: 'Gateway',
    metadata: { name: 'balanced' },
    spec: { gatewayClassName: 'istio', listeners },
  };
}

function route(namespace: string): KubernetesObject {
  return {
    apiVersion: gatewayApi,
    kind: 'HTTPRoute',
    metadata: { name: 'web' },
    spec: {
      parentRefs: [{ name: 'web', namespace }],
      hostnames: [host],
      rules: [{ backendRefs: [{ name: 'web', port: 80 }] }],
    },
  };
}
