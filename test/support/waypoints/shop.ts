import type { AgentOptions } from '../agent.ts';
import { envoyBinary } from '../envoy/envoy-process.ts';
import { appLabel } from '../manifests.ts';
import type { Manifest } from '../manifests.ts';
import { Mesh } from '../mesh.ts';
import type { Member } from '../mesh.ts';
import { waitFor } from '../wait.ts';
import { gateway, httpService, markHeader, shop } from './documents.ts';
import type { Outcome } from './orders.ts';
import { servicePorts } from './ports.ts';
import type { Scenario } from './scenarios.ts';
import { ShopClient, startShopServer } from './shop-client.ts';
import type { Wish } from './shop-client.ts';

/** In no subnet of the rig. */
export const vips = { web: '10.96.77.1', v1: '10.96.77.2', v2: '10.96.77.3' } as const;

const gatewayName = 'gateway.networking.k8s.io/gateway-name';

interface ProxyDump {
  readonly waypointProxies: readonly {
    readonly pod: string;
    readonly state: string;
    readonly pid: number | null;
    readonly restarts: number;
  }[];
}

export interface ShopOptions {
  /** Further pods by name, with the place of their node. */
  readonly pods?: Readonly<Record<string, number>>;
  readonly members?: Readonly<Record<string, Member>>;
  /** Pods of the waypoint, with the place of their node; one on the second node unless given. */
  readonly waypoints?: Readonly<Record<string, number>>;
  readonly documents?: readonly Manifest[];
  readonly agentOptions?: Partial<AgentOptions>;
}

/**
 * A client, a service `web` of two versions, one on each node, and its waypoint, whose Envoys the nodes' agents run. Each
 * version is a service of its own, too.
 */
export class Shop {
  readonly mesh: Mesh;
  readonly client: ShopClient;
  readonly #clients: ShopClient[] = [];

  private constructor(mesh: Mesh, client: ShopClient) {
    this.mesh = mesh;
    this.client = client;
    this.#clients.push(client);
  }

  static async open({
    pods = {},
    members = {},
    waypoints = { 'waypoint-a': 1 },
    documents = [],
    agentOptions = {},
  }: ShopOptions = {}): Promise<Shop> {
    const flags = ['--envoy', await envoyBinary(), ...(agentOptions.flags ?? [])];
    const mesh = await Mesh.create({
      pods: { client: 0, 'web-v1': 0, 'web-v2': 1, ...waypoints, ...pods },
      members: { ...shopMembers(Object.keys(waypoints)), ...members },
      documents: [...shopDocuments(), ...documents],
      agentOptions: { ...agentOptions, flags },
    });
    try {
      await Promise.all(['v1', 'v2'].map((version) => startShopServer(mesh.netns(`web-${version}`), version)));
      const opened = new Shop(mesh, await ShopClient.start(mesh.netns('client')));
      await Promise.all(Object.keys(waypoints).map((name) => opened.proxyReady(name)));
      return opened;
    } catch (error) {
      await mesh.remove();
      throw error;
    }
  }

  /** Of the client, to the service. */
  ask(wish: Partial<Wish> = {}): Promise<Outcome> {
    return this.client.ask({ host: vips.web, ...wish });
  }

  /** The first line that a port of the service says to a client that sends the text. */
  async greeting(port: number = servicePorts.bytes, text = ''): Promise<string> {
    const open = `exec 3<>/dev/tcp/${vips.web}/${port}; cat >&3; read -t 10 -r line <&3; echo "$line"`;
    const { stdout } = await this.mesh.rig.exec(this.mesh.pod('client'), ['bash', '-c', open], { input: text });
    return stdout.trim();
  }

  async clientIn(pod: string): Promise<ShopClient> {
    const client = await ShopClient.start(this.mesh.netns(pod));
    this.#clients.push(client);
    return client;
  }

  /** Puts routes in force that mark their answers, and waits until one is. @param path of what is answered with the mark */
  async show({ mark, documents }: Scenario, path = '/'): Promise<void> {
    await this.mesh.apply('routes', documents);
    await this.until(`routes marked ${mark}`, async () => (await this.ask({ path })).headers[markHeader] === mark);
  }

  async route(mark: string, documents: readonly Manifest[]): Promise<void> {
    await this.show({ mark, documents });
  }

  /** How many requests a version has had. */
  async seenBy(version: 'v1' | 'v2'): Promise<number> {
    return Number((await this.client.ask({ host: vips[version], path: '/seen' })).body);
  }

  /** Documents are in force when what the client sees of it says so. */
  async until(what: string, look: () => Promise<boolean>): Promise<void> {
    await waitFor(look, { timeout: 15_000, interval: 50, what });
  }

  async proxyReady(pod: string, restarts = 0): Promise<number> {
    const proxy = await waitFor(
      async () => {
        const found = await this.proxy(pod);
        return found?.state === 'ready' && found.restarts >= restarts ? found : null;
      },
      { timeout: 30_000, what: `the proxy of ${pod}` },
    );
    return proxy.pid ?? 0;
  }

  async proxy(pod: string): Promise<ProxyDump['waypointProxies'][number] | null> {
    const { body } = await this.mesh.agentOf(pod).page('admin', '/config_dump');
    const { waypointProxies } = JSON.parse(body) as ProxyDump;
    return waypointProxies.find((proxy) => proxy.pod === `${shop}/${pod}`) ?? null;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.stop()));
    await this.mesh.remove();
  }
}

function shopMembers(waypoints: readonly string[]): Record<string, Member> {
  const version = (name: string): Member => ({
    namespace: shop,
    serviceAccount: 'web',
    labels: { [appLabel]: 'web', version: name },
  });
  return {
    client: { namespace: shop },
    'web-v1': version('v1'),
    'web-v2': version('v2'),
    ...Object.fromEntries(waypoints.map((name) => [name, waypointPod])),
  };
}

export const waypointPod: Member = {
  namespace: shop,
  serviceAccount: 'waypoint',
  labels: { [gatewayName]: 'waypoint' },
};

function shopDocuments(): readonly Manifest[] {
  const app = { [appLabel]: 'web' };
  return [
    gateway('waypoint'),
    httpService({ name: 'web', vip: vips.web, selector: app, labels: { 'istio.io/use-waypoint': 'waypoint' } }),
    httpService({ name: 'web-v1', vip: vips.v1, selector: { ...app, version: 'v1' } }),
    httpService({ name: 'web-v2', vip: vips.v2, selector: { ...app, version: 'v2' } }),
  ];
}
