import { after, before, describe } from 'node:test';

import { buildWaypoint } from '../../../src/envoy/build.ts';
import type { WaypointInput } from '../../../src/envoy/model.ts';
import { envoyBinary, EnvoyProcess } from './envoy-process.ts';
import { resourcesJson } from './static-bootstrap.ts';
import type { ResourcesJson } from './static-bootstrap.ts';

/** A server, as far as its end is concerned. */
export interface Closing {
  close(): Promise<void>;
}

export type Servers = Readonly<Record<string, Closing>>;

/** A fixture of servers and one Envoy in front of them, for all tests of a suite. */
export interface Waypoint<Having extends Servers> {
  readonly envoy: EnvoyProcess;
  readonly servers: Having;
}

/**
 * A suite with a real Envoy. Where it cannot be had the suite says why, and in CI that is a failure.
 *
 * @param serve makes the servers; @param configure the waypoint, knowing their ports
 */
export function envoySuite<Having extends Servers>(
  name: string,
  serve: () => Promise<Having>,
  configure: (servers: Having) => WaypointInput,
  body: (waypoint: () => Waypoint<Having>) => void,
): void {
  resourcesSuite(name, serve, (servers) => resourcesJson(buildWaypoint(configure(servers))), body);
}

/** The same with resources that are made already. */
export function resourcesSuite<Having extends Servers>(
  name: string,
  serve: () => Promise<Having>,
  resources: (servers: Having) => ResourcesJson,
  body: (waypoint: () => Waypoint<Having>) => void,
): void {
  describe(name, { timeout: 120_000 }, () => {
    let waypoint: Waypoint<Having> | null = null;
    before(async () => {
      await envoyBinary();
      const servers = await serve();
      try {
        waypoint = { servers, envoy: await EnvoyProcess.start(resources(servers)) };
      } catch (error) {
        // Left open they would keep the process of the tests for ever.
        await closeAll(servers);
        throw error;
      }
    });
    after(async () => {
      if (waypoint === null) return;
      await waypoint.envoy.stop();
      await closeAll(waypoint.servers);
    });
    body(() => {
      if (waypoint === null) throw new Error('Envoy has not started');
      return waypoint;
    });
  });
}

export async function closeAll(servers: Servers): Promise<void> {
  await Promise.all(Object.values(servers).map((server) => server.close()));
}
