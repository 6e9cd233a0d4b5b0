import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { envoyBootstrap, defaultBootstrap } from '../../../src/envoy/bootstrap.ts';
import { handoverPort } from '../../../src/envoy/names.ts';
import { start } from '../processes.ts';
import type { Running } from '../processes.ts';
import { waitFor } from '../wait.ts';
import { proxyHeader } from './proxy-header.ts';
import type { HandedOver } from './proxy-header.ts';
import { envoyBinary } from './envoy-process.ts';

/** What an Envoy proves itself by, PEM. */
export interface EnvoyCredentials {
  readonly certificate: string;
  readonly key: string;
  readonly roots: string;
}

export interface DiscoveringOptions {
  /** Of the control plane, on loopback. */
  readonly port: number;
  /** null: the control plane is one of this machine, without TLS. */
  readonly credentials: EnvoyCredentials | null;
  /** What it calls its waypoint. */
  readonly cluster: string;
  /** Port of its loopback that connections are made to; where the engine hands them over unless given. */
  readonly door?: number;
}

/** How long chains that go wait for their connections. Seconds. */
const drainTime = 1;

interface Resource {
  readonly name: string;
}

/**
 * A real Envoy in a network namespace of its own, started from our bootstrap, that asks a control plane of this process. What is
 * between them is a socket of the file system, for the namespace has no way out.
 */
export class DiscoveringEnvoy {
  readonly #folder: string;
  readonly #bridge: Server;
  readonly #sockets = new Set<Socket>();
  #process: Running | null = null;
  #door: Running | null = null;

  private constructor(folder: string, bridge: Server) {
    this.#folder = folder;
    this.#bridge = bridge;
  }

  static async start(options: DiscoveringOptions): Promise<DiscoveringEnvoy> {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-ads-'));
    const envoy = new DiscoveringEnvoy(folder, createServer());
    try {
      await envoy.#start(options);
      return envoy;
    } catch (error) {
      await envoy.stop();
      throw error;
    }
  }

  async #start({ port, credentials, cluster, door = handoverPort }: DiscoveringOptions): Promise<void> {
    this.#bridge.on('connection', (socket) => {
      this.#join(socket, connect(port, '127.0.0.1'));
    });
    this.#bridge.listen(join(this.#folder, 'control'));
    await once(this.#bridge, 'listening');
    const files: Readonly<Record<string, string>> = { ...credentials };
    for (const [name, content] of Object.entries(files))
      writeFileSync(join(this.#folder, name), content, { mode: 0o600 });
    const config = join(this.#folder, 'bootstrap.json');
    writeFileSync(config, JSON.stringify(this.#bootstrap(credentials !== null)));
    const node = ['--service-node', 'test', '--service-cluster', cluster];
    const draining = ['--drain-time-s', String(drainTime)];
    const command = [await envoyBinary(), '-c', config, ...node, ...draining, '--concurrency', '1', '-l', 'warning'];
    const inside = `ip link set lo up && exec ${[...command, '--disable-hot-restart'].join(' ')}`;
    this.#process = start(['unshare', '--net', 'sh', '-c', inside]);
    await waitFor(() => this.page('/server_info').catch(() => null), { what: 'the admin page of Envoy' });
    await this.#openDoor(this.#process.pid, door);
  }

  async #openDoor(pid: number, port: number): Promise<void> {
    const module = fileURLToPath(new URL('./namespace-door.js', import.meta.url));
    const path = join(this.#folder, 'door');
    const within = ['nsenter', `--net=/proc/${pid}/ns/net`];
    this.#door = start([...within, process.execPath, module, path, String(port)]);
    await waitFor(() => existsSync(path) || null, { what: 'the way into the namespace of Envoy' });
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** A plain connection. */
  async open(): Promise<Socket> {
    const socket = connect(join(this.#folder, 'door'));
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined); // that it ends is what the tests look at
    await once(socket, 'connect');
    return socket;
  }

  /** A connection as the node's engine hands it over. */
  async connect(destination: string, port: number, given: Partial<HandedOver> = {}): Promise<Socket> {
    const socket = await this.open();
    const facts = new Map([[0xd0, 'spiffe://cluster.local/ns/shop/sa/client']]);
    const client = { source: '10.9.0.9', sourcePort: 40_000 };
    socket.write(proxyHeader({ ...client, destination, destinationPort: port, facts, ...given }));
    return socket;
  }

  /** Ours, but for the way to the control plane, which is no engine's here, and the admin page, which this process reads. */
  #bootstrap(overTls: boolean): unknown {
    const ours = JSON.parse(JSON.stringify(envoyBootstrap(defaultBootstrap))) as {
      admin: unknown;
      staticResources: { clusters: [{ loadAssignment: unknown; name: string; transportSocket?: unknown }] };
    };
    const [control] = ours.staticResources.clusters;
    const address = { pipe: { path: join(this.#folder, 'control') } };
    control.loadAssignment = {
      clusterName: control.name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }],
    };
    if (overTls) control.transportSocket = this.#transportSocket();
    return { ...ours, admin: { address: { pipe: { path: join(this.#folder, 'admin') } } } };
  }

  #transportSocket(): unknown {
    const file = (name: string) => ({ filename: join(this.#folder, name) });
    return {
      name: 'envoy.transport_sockets.tls',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        sni: 'localhost',
        commonTlsContext: {
          alpnProtocols: ['h2'],
          tlsCertificates: [{ certificateChain: file('certificate'), privateKey: file('key') }],
          validationContext: { trustedCa: file('roots') },
        },
      },
    };
  }

  #join(one: Socket, other: Socket): void {
    for (const socket of [one, other]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // the other end tells
      socket.on('close', () => {
        one.destroy();
        other.destroy();
      });
    }
    one.pipe(other);
    other.pipe(one);
  }

  get errors(): readonly string[] {
    return this.#process?.errorLines ?? [];
  }

  async page(path: string): Promise<string> {
    const sent = request({ socketPath: join(this.#folder, 'admin'), path, agent: false });
    sent.end();
    const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream];
    return text(response);
  }

  /** Names of the clusters, listeners and routes in force that came from the control plane. */
  async names(): Promise<NamesInForce> {
    const { configs } = JSON.parse(await this.page('/config_dump')) as { configs: readonly Dump[] };
    const clusters = configs.flatMap((config) => config.dynamic_active_clusters ?? []);
    const listeners = configs.flatMap((config) => config.dynamic_listeners ?? []);
    const routes = configs.flatMap((config) => config.dynamic_route_configs ?? []);
    return {
      clusters: clusters.map(({ cluster }) => cluster.name).sort(),
      listeners: listeners.filter((listener) => listener.active_state !== undefined).map(({ name }) => name),
      routes: routes.map(({ route_config: { name } }) => name).sort(),
    };
  }

  async stop(): Promise<void> {
    await this.#door?.stop('SIGKILL');
    await this.#process?.stop('SIGKILL');
    for (const socket of this.#sockets) socket.destroy();
    this.#bridge.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface NamesInForce {
  readonly clusters: readonly string[];
  readonly listeners: readonly string[];
  readonly routes: readonly string[];
}

interface Dump {
  readonly dynamic_active_clusters?: readonly { readonly cluster: Resource }[];
  readonly dynamic_listeners?: readonly (Resource & { readonly active_state?: unknown })[];
  readonly dynamic_route_configs?: readonly { readonly route_config: Resource }[];
}
