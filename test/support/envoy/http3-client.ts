import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { start } from '../processes.ts';
import type { Running } from '../processes.ts';
import { waitFor } from '../wait.ts';
import { envoyBinary } from './envoy-process.ts';

export interface Http3Target {
  /** UDP, on loopback. */
  readonly port: number;
  /** That the client asks for. */
  readonly name: string;
  /** PEM. */
  readonly roots: string;
}

const startTime = 60_000;

/** A second Envoy, which takes HTTP/1.1 in clear text and speaks HTTP/3: neither Node nor the tools of this level do. */
export class Http3Client {
  readonly #process: Running;
  readonly #folder: string;
  readonly #port: number;

  private constructor(process: Running, folder: string, port: number) {
    this.#process = process;
    this.#folder = folder;
    this.#port = port;
  }

  static async start(target: Http3Target): Promise<Http3Client> {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-http3-'));
    const [file, adminFile] = [join(folder, 'bootstrap.json'), join(folder, 'admin')];
    writeFileSync(file, JSON.stringify(bootstrap(target)));
    const options = ['--admin-address-path', adminFile, '--disable-hot-restart', '--concurrency', '1', '-l', 'warning'];
    const process = start([await envoyBinary(), '-c', file, ...options]);
    try {
      const admin = await waitFor(() => readFileSync(adminFile, 'utf8'), {
        timeout: startTime,
        what: 'the admin page',
      });
      const port = await waitFor(() => listenerPort(admin), { timeout: startTime, what: 'the listener' });
      return new Http3Client(process, folder, port);
    } catch (error) {
      await process.stop('SIGKILL');
      rmSync(folder, { recursive: true });
      throw new Error(`Envoy did not start: ${process.errorLines.slice(-5).join('\n')}`, { cause: error });
    }
  }

  async connect(): Promise<Socket> {
    const socket = connect(this.#port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  }

  async stop(): Promise<void> {
    await this.#process.stop('SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}

async function listenerPort(admin: string): Promise<number | null> {
  const ready = await fetch(`http://${admin}/ready`);
  if (!ready.ok) return null;
  const { listener_statuses: [listener] = [] } = (await (
    await fetch(`http://${admin}/listeners?format=json`)
  ).json()) as {
    readonly listener_statuses?: readonly {
      readonly local_address: { readonly socket_address: { readonly port_value: number } };
    }[];
  };
  return listener?.local_address.socket_address.port_value ?? null;
}

const types = 'type.googleapis.com/envoy.extensions';

function bootstrap({ port, name, roots }: Http3Target): unknown {
  const address = (portValue: number) => ({ socketAddress: { address: '127.0.0.1', portValue } });
  const udp = { socketAddress: { protocol: 'UDP', address: '127.0.0.1', portValue: port } };
  const router = {
    name: 'envoy.filters.http.router',
    typedConfig: { '@type': `${types}.filters.http.router.v3.Router` },
  };
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'gateway' } }];
  const manager = {
    '@type': `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    statPrefix: 'client',
    routeConfig: { virtualHosts: [{ name: 'all', domains: ['*'], routes }] },
    httpFilters: [router],
    // What the gateway is told must be what the test asks.
    useRemoteAddress: false,
    skipXffAppend: true,
  };
  return {
    admin: { address: address(0) },
    staticResources: {
      listeners: [
        {
          name: 'client',
          address: address(0),
          filterChains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typedConfig: manager }] },
          ],
        },
      ],
      clusters: [
        {
          name: 'gateway',
          type: 'STATIC',
          connectTimeout: '2s',
          loadAssignment: { clusterName: 'gateway', endpoints: [{ lbEndpoints: [{ endpoint: { address: udp } }] }] },
          typedExtensionProtocolOptions: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${types}.upstreams.http.v3.HttpProtocolOptions`,
              explicitHttpConfig: { http3ProtocolOptions: {} },
            },
          },
          transportSocket: {
            name: 'envoy.transport_sockets.quic',
            typedConfig: {
              '@type': `${types}.transport_sockets.quic.v3.QuicUpstreamTransport`,
              upstreamTlsContext: {
                sni: name,
                commonTlsContext: { validationContext: { trustedCa: { inlineString: roots } } },
              },
            },
          },
        },
      ],
    },
  };
}
