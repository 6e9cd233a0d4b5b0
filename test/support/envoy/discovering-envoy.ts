import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { envoyBootstrap, defaultBootstrap } from '../../../src/envoy/bootstrap.ts';
import { start } from '../processes.ts';
import type { Running } from '../processes.ts';
import { waitFor } from '../wait.ts';
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
  readonly credentials: EnvoyCredentials;
  /** What it calls its waypoint. */
  readonly cluster: string;
}

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

  async #start({ port, credentials, cluster }: DiscoveringOptions): Promise<void> {
    this.#bridge.on('connection', (socket) => {
      this.#join(socket, connect(port, '127.0.0.1'));
    });
    this.#bridge.listen(join(this.#folder, 'control'));
    await once(this.#bridge, 'listening');
    const files = Object.entries(credentials).map(([name, value]) => [name, join(this.#folder, name), value] as const);
    for (const [, path, value] of files) writeFileSync(path, value, { mode: 0o600 });
    const config = join(this.#folder, 'bootstrap.json');
    writeFileSync(config, JSON.stringify(this.#bootstrap()));
    const node = ['--service-node', 'test', '--service-cluster', cluster];
    const command = [await envoyBinary(), '-c', config, ...node, '--concurrency', '1', '-l', 'warning'];
    const inside = `ip link set lo up && exec ${[...command, '--disable-hot-restart'].join(' ')}`;
    this.#process = start(['unshare', '--net', 'sh', '-c', inside]);
    await waitFor(() => this.page('/server_info').catch(() => null), { what: 'the admin page of Envoy' });
  }

  /** Ours, but for the way to the control plane, which is no engine's here, and the admin page, which this process reads. */
  #bootstrap(): unknown {
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
    const file = (name: string) => ({ filename: join(this.#folder, name) });
    control.transportSocket = {
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
    return { ...ours, admin: { address: { pipe: { path: join(this.#folder, 'admin') } } } };
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
  async names(): Promise<{ clusters: readonly string[]; listeners: readonly string[]; routes: readonly string[] }> {
    const dump = JSON.parse(await this.page('/config_dump?include_eds')) as { configs: readonly Dump[] };
    const all = <Key extends keyof Dump>(key: Key) => dump.configs.flatMap((config) => config[key] ?? []);
    return {
      clusters: all('dynamic_active_clusters')
        .flatMap(({ cluster }) => cluster?.name ?? [])
        .sort(),
      listeners: all('dynamic_listeners').flatMap(({ name, active_state: active }) =>
        active === undefined ? [] : [name ?? ''],
      ),
      routes: all('dynamic_route_configs')
        .flatMap(({ route_config: routes }) => routes?.name ?? [])
        .sort(),
    };
  }

  async stop(): Promise<void> {
    await this.#process?.stop('SIGKILL');
    for (const socket of this.#sockets) socket.destroy();
    this.#bridge.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

interface DumpItem {
  readonly name?: string;
  readonly cluster?: Resource;
  readonly route_config?: Resource;
  readonly active_state?: unknown;
}

interface Dump {
  readonly dynamic_active_clusters?: readonly DumpItem[];
  readonly dynamic_listeners?: readonly DumpItem[];
  readonly dynamic_route_configs?: readonly DumpItem[];
}
