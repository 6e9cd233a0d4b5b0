import { fromJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { defaultBootstrap, envoyBootstrap } from '../../../src/envoy/bootstrap.ts';
import { buildGateway } from '../../../src/envoy/gateways/build.ts';
import type { GatewayInput, GatewaySecret } from '../../../src/envoy/gateways/model.ts';
import { listenerName } from '../../../src/envoy/gateways/names.ts';
import { buildGatewaySecret } from '../../../src/envoy/gateways/secrets.ts';
import { envoyTypes } from '../../../src/envoy/registry.ts';
import { ClusterSchema } from '../../../src/proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../../src/proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { SecretSchema } from '../../../src/proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { start } from '../processes.ts';
import type { Running } from '../processes.ts';
import { waitFor } from '../wait.ts';
import { envoyBinary } from './envoy-process.ts';
import { scripted, ScriptedDiscovery } from './scripted-discovery.ts';
import type { Scripted } from './scripted-discovery.ts';
import { onLoopback, resourcesJson, withAddresses } from './static-bootstrap.ts';

export interface GatewaySetup {
  readonly input: GatewayInput;
  readonly secrets: readonly GatewaySecret[];
}

/** A second on an idle machine; one that is busy with other things is no failure of Envoy's. */
const startTime = 60_000;
/** Of chains that have gone. Seconds. */
const drainTime = 1;

interface ListenerStatus {
  readonly name: string;
  readonly local_address: { readonly socket_address: { readonly port_value: number } };
}

/** A real Envoy that is told of a gateway by delta discovery, secrets as well. Its listeners are on ports that the kernel chose. */
export class GatewayEnvoy {
  readonly #discovery: ScriptedDiscovery;
  readonly #process: Running;
  readonly #folder: string;
  readonly #admin: string;
  readonly #sockets = new Set<Socket>();
  #ports: ReadonlyMap<string, number> = new Map();

  private constructor(discovery: ScriptedDiscovery, process: Running, folder: string, admin: string) {
    this.#discovery = discovery;
    this.#process = process;
    this.#folder = folder;
    this.#admin = admin;
  }

  static async start(setup: GatewaySetup): Promise<GatewayEnvoy> {
    const discovery = await ScriptedDiscovery.start();
    const folder = mkdtempSync(join(tmpdir(), 'ambit-gateway-'));
    const [file, adminFile] = [join(folder, 'bootstrap.json'), join(folder, 'admin')];
    writeFileSync(file, JSON.stringify(bootstrap(discovery.port)));
    const process = start([
      ...[await envoyBinary(), '-c', file, '--admin-address-path', adminFile, '--disable-hot-restart', '-l', 'warning'],
      ...[
        '--service-node',
        'test',
        '--service-cluster',
        'test',
        '--drain-time-s',
        String(drainTime),
        '--concurrency',
        '1',
      ],
      // Tests read the access log; by itself it comes every ten seconds.
      ...['--file-flush-interval-msec', '50'],
    ]);
    try {
      const what = { timeout: startTime, what: 'the address of the admin page' };
      const admin = await waitFor(() => readFileSync(adminFile, 'utf8'), what);
      const envoy = new GatewayEnvoy(discovery, process, folder, admin);
      await envoy.set(setup);
      return envoy;
    } catch (error) {
      await process.stop('SIGKILL');
      discovery.stop();
      throw new Error(`Envoy did not start: ${[...discovery.refusals, ...process.errorLines.slice(-5)].join('\n')}`, {
        cause: error,
      });
    }
  }

  /** Tells Envoy, and waits until its listeners are those. That what is within them has changed the test has to look for. */
  async set(setup: GatewaySetup): Promise<void> {
    const { resources, listeners } = resourcesOf(setup);
    this.#discovery.set(resources);
    const inForce = async (): Promise<boolean> => {
      this.#ports = await this.#listening();
      const all = listeners.length === this.#ports.size && listeners.every((name) => this.#ports.has(name));
      return all && (await this.#isSettled());
    };
    await waitFor(inForce, { timeout: startTime, what: `the listeners ${listeners.join(', ')}` });
  }

  /** What Envoy has said no to. */
  get refusals(): readonly string[] {
    return this.#discovery.refusals;
  }

  /** The kernel's port of a listener. */
  portOf(name: string): number {
    const port = this.#ports.get(name);
    if (port === undefined) throw new Error(`there is no listener ${name}`);
    return port;
  }

  /** A connection to the gateway's port. @param host a loopback address, of either family */
  async connect(number: number, host = '127.0.0.1'): Promise<Socket> {
    const socket = connect(this.portOf(listenerName({ number })), host);
    this.#sockets.add(socket);
    socket.on('error', () => undefined); // that it ends is what the tests look at
    await once(socket, 'connect');
    return socket;
  }

  async page(path: string): Promise<string> {
    return (await fetch(`http://${this.#admin}${path}`)).text();
  }

  get errors(): readonly string[] {
    return this.#process.errorLines;
  }

  get output(): readonly string[] {
    return this.#process.lines;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#process.stop('SIGKILL');
    this.#discovery.stop();
    rmSync(this.#folder, { recursive: true });
  }

  /** Whether all listeners that it has been told of take connections. */
  async #isSettled(): Promise<boolean> {
    const statistics = await this.page('/stats?filter=^listener_manager\\.');
    return /workers_started: 1$/m.test(statistics) && /total_listeners_warming: 0$/m.test(statistics);
  }

  async #listening(): Promise<ReadonlyMap<string, number>> {
    const { listener_statuses: statuses = [] } = JSON.parse(await this.page('/listeners?format=json')) as {
      readonly listener_statuses?: readonly ListenerStatus[];
    };
    return new Map(statuses.map(({ name, local_address: local }) => [name, local.socket_address.port_value]));
  }
}

/** Ours, but for the way to the control plane and ports that several tests cannot have at once. */
function bootstrap(controlPort: number): JsonObject {
  const ours = structuredClone(envoyBootstrap(defaultBootstrap)) as JsonObject & {
    readonly staticResources: { clusters: { loadAssignment: JsonObject; name: string }[]; listeners: JsonObject[] };
  };
  const { staticResources } = ours;
  const [control] = staticResources.clusters;
  if (control === undefined) throw new Error('the bootstrap has no way to the control plane');
  const socketAddress = { address: '127.0.0.1', portValue: controlPort };
  control.loadAssignment = {
    clusterName: control.name,
    endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress } } }] }],
  };
  staticResources.listeners = [];
  return {
    ...ours,
    // Histograms show what has been put together; by itself that is done every five seconds.
    statsFlushInterval: '0.1s',
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
  };
}

function resourcesOf({ input, secrets }: GatewaySetup): {
  readonly resources: readonly Scripted[];
  readonly listeners: readonly string[];
} {
  const { listeners, clusters, endpoints, routes } = resourcesJson(buildGateway(input));
  const anyPort = (listener: JsonObject): JsonValue => withAddresses(listener, { portValue: 0 });
  return {
    listeners: listeners.map((listener) => nameOf(listener, 'name')),
    resources: [
      ...clusters.map((cluster) => fromText(ClusterSchema, onLoopback(cluster), nameOf(cluster, 'name'))),
      ...endpoints.map((each) => fromText(ClusterLoadAssignmentSchema, onLoopback(each), nameOf(each, 'clusterName'))),
      ...secrets.map((secret) => scripted(SecretSchema, secret.name, buildGatewaySecret(secret))),
      ...listeners.map((listener) => fromText(ListenerSchema, anyPort(listener), nameOf(listener, 'name'))),
      ...routes.map((each) => fromText(RouteConfigurationSchema, each, nameOf(each, 'name'))),
    ],
  };
}

function fromText(schema: DescMessage, value: JsonValue, name: string): Scripted {
  return scripted(schema, name, fromJson(schema, value, { registry: envoyTypes }));
}

function nameOf(object: JsonObject, field: string): string {
  const name = object[field];
  if (typeof name !== 'string') throw new Error(`there is no ${field}`);
  return name;
}
