import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { Histogram } from 'prom-client';
import type { ClientStatus } from '../../src/control/discovery/discovery-service.ts';
import { certificateRequest } from '../../test/support/certificate-request.ts';
import { ControlHarness } from '../../test/support/control.ts';
import { DiscoveringEnvoy } from '../../test/support/envoy/discovering-envoy.ts';
import { KeptConnection } from '../../test/support/envoy/kept-connection.ts';
import type { KeptAnswer } from '../../test/support/envoy/kept-connection.ts';
import type { Manifest } from '../../test/support/manifests.ts';
import { waitFor } from '../../test/support/wait.ts';
import { cpuSeconds } from './memory.ts';

/** What has been spent so far. Seconds. */
export interface Spent {
  /** CPU of this process: the control plane, and whoever measures. */
  readonly here: number;
  /** CPU of Envoy. */
  readonly envoy: number;
  /** Time between the source's news and all of it in force in the control plane. */
  readonly deriving: number;
  /** Time between each response and its acknowledgement, by the last word of its type. */
  readonly acknowledging: ReadonlyMap<string, number>;
}

/** A control plane in this process, and one real Envoy that follows it. */
export class WaypointSite {
  readonly control: ControlHarness;
  readonly envoy: DiscoveringEnvoy;

  private constructor(control: ControlHarness, envoy: DiscoveringEnvoy) {
    this.control = control;
    this.envoy = envoy;
  }

  static async start(documents: readonly Manifest[]): Promise<WaypointSite> {
    const control = await ControlHarness.start(documents);
    const { csr, key } = await certificateRequest('spiffe://cluster.local/ns/shop/sa/waypoint');
    const token = await control.token({ pod: 'shop/waypoint-1' });
    const { chain } = await control.certificate({ csr, validityDuration: 3600n }, { token });
    const credentials = { certificate: chain.join(''), key, roots: control.roots };
    const envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/waypoint' });
    return new WaypointSite(control, envoy);
  }

  async stop(): Promise<void> {
    await this.envoy.stop();
    await this.control.stop();
  }

  /** Once Envoy has the routes of that many ports, and nothing is under way. */
  async inSync(ports: number): Promise<void> {
    const isThere = async (): Promise<boolean> => {
      const { types } = await this.#client();
      const routes = types.find(({ type }) => type.endsWith('RouteConfiguration'));
      return (
        routes?.names === ports && types.every(({ pending, sent, acknowledged }) => !pending && sent === acknowledged)
      );
    };
    await waitFor(isThere, { what: 'an Envoy in sync', timeout: 240_000, interval: 50 });
  }

  /** Nonce of the last endpoints that Envoy has taken. */
  async endpoints(): Promise<string | null> {
    const { types } = await this.#client();
    return types.find(({ type }) => type.endsWith('ClusterLoadAssignment'))?.acknowledged ?? null;
  }

  async open(address: string): Promise<KeptConnection> {
    return new KeptConnection(await this.envoy.connect(address, 80));
  }

  /** What a new connection is told; null: it is closed. */
  async askAnew(address: string, path = '/'): Promise<KeptAnswer | null> {
    const connection = await this.open(address);
    const answer = await connection.ask(path);
    connection.close();
    return answer;
  }

  async spent(): Promise<Spent> {
    const { deriveSeconds, acknowledgeSeconds } = this.control.metrics;
    const acknowledging = await sums(acknowledgeSeconds);
    const [deriving = 0] = [...(await sums(deriveSeconds)).values()];
    return { here: cpuSeconds(), envoy: await cpuOf(this.envoy.pid), deriving, acknowledging };
  }

  /** Resident memory of Envoy, in bytes. */
  async envoyMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.envoy.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async #client(): Promise<ClientStatus> {
    for (;;) {
      const clients = (await (await fetch(`${this.control.debug}/debug/syncz`)).json()) as readonly ClientStatus[];
      const [client] = clients;
      if (client !== undefined) return client;
      await setTimeout(10);
    }
  }
}

async function sums(histogram: Histogram): Promise<ReadonlyMap<string, number>> {
  const { values } = await histogram.get();
  const found = values.filter(({ metricName }) => metricName?.endsWith('_sum'));
  return new Map(
    found.map(({ labels, value }) => [String(Object.values(labels)[0] ?? '').replace(/^.*\./, ''), value]),
  );
}

/** The kernel counts in hundredths of a second. */
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
