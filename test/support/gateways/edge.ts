import { X509Certificate } from 'node:crypto';

import type { AgentOptions } from '../agent.ts';
import { envoyBinary } from '../envoy/envoy-process.ts';
import { appLabel } from '../manifests.ts';
import type { Manifest, PodManifest } from '../manifests.ts';
import { Mesh } from '../mesh.ts';
import type { Member } from '../mesh.ts';
import { enter } from '../namespaces.ts';
import { root } from '../paths.ts';
import { start } from '../processes.ts';
import { TestAuthority } from '../test-authority.ts';
import { waitFor } from '../wait.ts';
import { gateway as waypointGateway, httpService, markHeader, shop } from '../waypoints/documents.ts';
import type { Outcome } from '../waypoints/orders.ts';
import { ShopClient, startShopServer } from '../waypoints/shop-client.ts';
import type { Wish } from '../waypoints/shop-client.ts';
import { edge, edgeLabels, edgeName, edgeService } from './documents.ts';
import type { Certificate } from './documents.ts';
import { edgePorts } from './ports.ts';

/** In no subnet of the rig. */
export const vips = { web: '10.96.77.1', v1: '10.96.77.2', v2: '10.96.77.3', edge: '10.96.88.10' } as const;

const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';

/** How a pod says that it is the gateway's: by its Gateway, or as the pods of the stock chart do. */
export type EdgeKind = 'gateway-api' | 'stock';

export interface EdgeOptions {
  readonly kind?: EdgeKind;
  /** Pods of the gateway, with the place of their node; one on the first node unless given. */
  readonly gateways?: Readonly<Record<string, number>>;
  /** Further pods by name, with the place of their node. */
  readonly pods?: Readonly<Record<string, number>>;
  readonly members?: Readonly<Record<string, Member>>;
  readonly documents?: readonly Manifest[];
  /** Port of the gateway's pods for ports of its Service that have another one. */
  readonly targets?: Readonly<Record<number, number>>;
  readonly agentOptions?: Partial<AgentOptions>;
}

interface ProxyDump {
  readonly waypointProxies: readonly {
    readonly pod: string;
    readonly kind: string;
    readonly state: string;
    readonly pid: number | null;
    readonly restarts: number;
  }[];
}

type EdgeWish = Partial<Omit<Wish, 'tls'>> & {
  /** Speaks TLS, and believes these roots; the server's name is `name`. */
  readonly roots?: string;
  /** Shown to the server. */
  readonly client?: Certificate;
  /** The server's name where it differs from the host. */
  readonly serverName?: string;
};

/**
 * A gateway, whose Envoys the nodes' agents run, a shop of two versions behind it, one on each node, and on the second node a visitor of
 * whom the mesh knows nothing.
 */
export class Edge {
  readonly mesh: Mesh;
  readonly visitor: ShopClient;
  /** Whom the visitor believes. */
  readonly authority: TestAuthority;
  readonly #clients: ShopClient[];
  readonly #targets: Readonly<Record<number, number>>;

  private constructor(mesh: Mesh, visitor: ShopClient, authority: TestAuthority, targets: Record<number, number>) {
    this.mesh = mesh;
    this.visitor = visitor;
    this.#clients = [visitor];
    this.authority = authority;
    this.#targets = targets;
  }

  static async open(options: EdgeOptions = {}): Promise<Edge> {
    const { kind = 'gateway-api', gateways = { 'gateway-a': 0 }, pods = {}, members = {}, documents = [] } = options;
    const { agentOptions = {} } = options;
    const targets = { ...Object.fromEntries(Object.values(edgePorts).map((port) => [port, port])), ...options.targets };
    const flags = ['--envoy', await envoyBinary(), ...(agentOptions.flags ?? [])];
    const own = Object.fromEntries(Object.keys(gateways).map((name) => [name, gatewayPod(kind)]));
    const mesh = await Mesh.create({
      pods: { visitor: 1, 'web-v1': 0, 'web-v2': 1, ...gateways, ...pods },
      members: { ...shopMembers(), ...own, ...members },
      documents: [...shopDocuments(), edgeService([vips.edge], targets), ...documents],
      agentOptions: { ...agentOptions, flags },
    });
    try {
      await Promise.all(['v1', 'v2'].map((version) => startShopServer(mesh.netns(`web-${version}`), version)));
      const visitor = await ShopClient.start(mesh.netns('visitor'));
      await mesh.apply('web', [webService()]);
      const opened = new Edge(mesh, visitor, await TestAuthority.create(), targets);
      await Promise.all(Object.keys(gateways).map((name) => opened.proxyReady(name)));
      return opened;
    } catch (error) {
      await mesh.remove();
      throw error;
    }
  }

  /** Of the gateway's pods, as its Gateway finds them. */
  readonly labels = { ...edgeLabels, [gatewayNameLabel]: edgeName };

  /** Where a port of the gateway's Service is at one of its pods. */
  portOf(port: number): number {
    return this.#targets[port] ?? port;
  }

  /** Of the visitor to the gateway, for a host. */
  ask(name: string, wish: EdgeWish = {}): Promise<Outcome> {
    return this.visitor.ask(this.#wish(name, wish));
  }

  async askFrom(client: ShopClient, name: string, wish: EdgeWish = {}): Promise<Outcome> {
    return client.ask(this.#wish(name, wish));
  }

  #wish(name: string, { roots, client, serverName = name, headers = {}, ...wish }: EdgeWish): Wish {
    const port = wish.port ?? (roots === undefined ? edgePorts.http : edgePorts.https);
    return {
      ...{
        host: this.mesh.pod('gateway-a').ipv4,
        ...wish,
        port: this.portOf(port),
        headers: { host: name, ...headers },
      },
      tls: roots === undefined ? null : { serverName, roots, ...client },
    };
  }

  /** How an answer, or the lack of one, looks: `200`, `ECONNREFUSED`. */
  async status(name: string, wish: EdgeWish = {}): Promise<string> {
    const { statuses, failures } = await this.ask(name, { keepAlive: false, ...wish });
    return [...Object.keys(statuses), ...Object.keys(failures)].join();
  }

  /** The mark that routes have put on the answer. */
  async mark(name: string, wish: EdgeWish = {}): Promise<unknown> {
    return (await this.ask(name, { keepAlive: false, ...wish })).headers[markHeader];
  }

  /** The first line that a port of the gateway says to a visitor that sends the text. */
  async greeting(port: number, text = ''): Promise<string> {
    const open = `exec 3<>/dev/tcp/${this.mesh.pod('gateway-a').ipv4}/${this.portOf(port)}; cat >&3; read -t 10 -r line <&3; echo "$line"`;
    const { stdout } = await this.mesh.rig.exec(this.mesh.pod('visitor'), ['bash', '-c', open], {
      input: text,
      anyStatus: true,
    });
    return stdout.trim();
  }

  async clientIn(pod: string): Promise<ShopClient> {
    const client = await ShopClient.start(this.mesh.netns(pod));
    this.#clients.push(client);
    return client;
  }

  /** A certificate for the hosts, of whom the visitor believes. */
  certificate(...hosts: readonly string[]): Promise<Certificate> {
    return this.authority.server(hosts);
  }

  /** Documents are in force when what a visitor sees of it says so. */
  async until(what: string, look: () => Promise<boolean>): Promise<void> {
    await waitFor(look, { timeout: 15_000, interval: 50, what });
  }

  async untilStatus(status: string, name: string, wish: EdgeWish = {}): Promise<void> {
    let last = '';
    const look = async (): Promise<boolean> => (last = await this.status(name, wish)) === status;
    await this.until(`${status} for ${name}`, look).catch((error: unknown) => {
      throw new Error(`${name} was answered ${last} last`, { cause: error });
    });
  }

  /** Conditions of a document, as the control plane tells them: `type/reason: message`. */
  async conditions(resource: string): Promise<readonly string[]> {
    const { body } = await this.mesh.rig.control.page('debug', '/debug/status');
    const all = JSON.parse(body) as readonly Readonly<Record<'resource' | 'type' | 'reason' | 'message', string>>[];
    return all
      .filter((condition) => condition.resource === resource)
      .map(({ type, reason, message }) => `${type}/${reason}: ${message}`);
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
    return waypointProxies.find((proxy) => proxy.pod === `${edge}/${pod}`) ?? null;
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.stop()));
    await this.mesh.remove();
  }
}

/** SHA-256 of a certificate, as clients tell it. */
export function fingerprintOf({ certificate }: Certificate): string {
  return new X509Certificate(certificate).fingerprint256;
}

/** Starts a server in a pod that ends TLS itself. */
export async function startTlsServer(netns: string, name: string, certificate: Certificate): Promise<void> {
  const running = start(enter(netns, ['node', `${root}dist/test/support/gateways/tls-server-main.js`, name]));
  running.write(`${JSON.stringify(certificate)}\n`);
  await running.line((line) => line === 'ready', 30_000);
}

function gatewayPod(kind: EdgeKind): Member {
  const pod: Partial<PodManifest> & Pick<PodManifest, 'namespace'> = { namespace: edge, serviceAccount: edgeName };
  return kind === 'stock'
    ? { ...pod, labels: edgeLabels, annotations: { 'inject.istio.io/templates': 'gateway' } }
    : { ...pod, labels: { ...edgeLabels, [gatewayNameLabel]: edgeName } };
}

function shopMembers(): Record<string, Member> {
  const version = (name: string): Member => ({
    namespace: shop,
    serviceAccount: 'web',
    labels: { [appLabel]: 'web', version: name },
  });
  return { 'web-v1': version('v1'), 'web-v2': version('v2') };
}

function shopDocuments(): readonly Manifest[] {
  const app = { [appLabel]: 'web' };
  return [
    httpService({ name: 'web-v1', vip: vips.v1, selector: { ...app, version: 'v1' } }),
    httpService({ name: 'web-v2', vip: vips.v2, selector: { ...app, version: 'v2' } }),
  ];
}

/** The service of both versions, which is in force under its own name. */
export function webService(
  labels: Readonly<Record<string, string>> = {},
  annotations: Readonly<Record<string, string>> = {},
): Manifest {
  const made = httpService({ name: 'web', vip: vips.web, selector: { [appLabel]: 'web' }, labels });
  return { ...made, metadata: { ...made.metadata, annotations } };
}

/** A waypoint of the shop's namespace. */
export const shopWaypoint = waypointGateway('waypoint');
