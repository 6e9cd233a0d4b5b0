import { join } from 'node:path';
import type { Registry } from 'prom-client';
import type { AgentSettings } from '../config/settings.ts';
import type { MeshState } from '../model/workload.ts';
import type { NativeEngine } from '../native/binding.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { Random, Timers } from '../timing/timers.ts';
import type { AccessLogSettings } from './access-log-settings.ts';
import { adminHandler } from './admin-server.ts';
import type { AdminServerDependencies } from './admin-server.ts';
import type { DumpSources } from './config-dump.ts';
import { Listener } from '../process/listener.ts';
import type { ListenerOptions } from '../process/listener.ts';
import { metricsHandler } from './metrics-server.ts';
import { readinessHandler } from './readiness-server.ts';
import type { Readiness } from './readiness.ts';
import type { FamilyText } from './waypoints/envoy-page.ts';

/** What the admin page shows; the state is null until the manifests are read. */
export type AgentDump = Omit<DumpSources, 'state'> & { readonly state: MeshState | null };

export interface AgentServersDependencies {
  readonly settings: Pick<AgentSettings, 'adminPort' | 'metricsPort' | 'readinessPort' | 'stateDir'>;
  readonly logging: Logging;
  readonly accessLog: AccessLogSettings;
  readonly timers: Timers;
  readonly random: Random;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly engine: () => Pick<NativeEngine, 'metricsText'> | null;
  readonly waypointMetrics: () => Promise<readonly FamilyText[]>;
  readonly dump: () => AgentDump;
  readonly explain: AdminServerDependencies['explain'];
}

/** Name of the readiness socket in --state-dir: told there while a former agent still has the port. */
const READINESS_SOCKET = 'ready.sock';

/** The agent's pages: admin on localhost, metrics and readiness on every address, readiness on a socket as well. */
export class AgentServers {
  readonly #admin: Listener;
  readonly #listeners: readonly Listener[];

  constructor(dependencies: AgentServersDependencies) {
    const [admin, ...others] = listenerOptions(dependencies);
    this.#admin = new Listener(admin);
    this.#listeners = [this.#admin, ...others.map((options) => new Listener(options))];
  }

  /** Resolves with it once bound. */
  get adminPort(): Promise<number | null> {
    return this.#admin.bound;
  }

  start(): void {
    for (const listener of this.#listeners) listener.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.stop()));
  }
}

function listenerOptions(dependencies: AgentServersDependencies): readonly [ListenerOptions, ...ListenerOptions[]] {
  const { settings, logging, accessLog, timers, random, registry, readiness, engine, dump, explain } = dependencies;
  const { waypointMetrics: waypoints } = dependencies;
  const logger = logging.component('servers');
  const common = { timers, random, logger };
  const anywhere = (port: number): ListenerOptions['place'] => ({ kind: 'port', host: null, port });
  const ready = readinessHandler(readiness, logger);
  const { stateDir } = settings;
  return [
    {
      ...common,
      name: 'admin',
      place: { kind: 'port', host: '127.0.0.1', port: settings.adminPort },
      handler: adminHandler({ dump, explain, logging, accessLog, logger }),
    },
    {
      ...common,
      name: 'metrics',
      place: anywhere(settings.metricsPort),
      handler: metricsHandler({ registry, engine, waypoints, logger }),
    },
    { ...common, name: 'readiness', place: anywhere(settings.readinessPort), handler: ready },
    ...(stateDir === null
      ? []
      : [
          {
            ...common,
            name: 'readiness socket',
            place: { kind: 'socket', path: join(stateDir, READINESS_SOCKET) } as const,
            handler: ready,
          },
        ]),
  ];
}
