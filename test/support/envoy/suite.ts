import { after, before, describe } from 'node:test';

import type { WaypointInput } from '../../../src/envoy/model.ts';
import { envoyBinary, EnvoyProcess } from './envoy-process.ts';
import type { TestServer } from './servers.ts';

/** A fixture of servers and one Envoy in front of them, for all tests of a suite. */
export interface Waypoint<Servers> {
  readonly envoy: EnvoyProcess;
  readonly servers: Servers;
}

/**
 * A suite with a real Envoy. Where it cannot be had the suite says why, and in CI that is a failure.
 *
 * @param serve makes the servers; @param configure the waypoint, knowing their ports
 */
export function envoySuite<Servers extends Readonly<Record<string, TestServer>>>(
  name: string,
  serve: () => Promise<Servers>,
  configure: (servers: Servers) => WaypointInput,
  body: (waypoint: () => Waypoint<Servers>) => void,
): void {
  describe(name, { timeout: 120_000 }, () => {
    let waypoint: Waypoint<Servers> | null = null;
    before(async () => {
      await envoyBinary();
      const servers = await serve();
      waypoint = { servers, envoy: await EnvoyProcess.start(configure(servers)) };
    });
    after(async () => {
      if (waypoint === null) return;
      await waypoint.envoy.stop();
      await Promise.all(Object.values(waypoint.servers).map((server) => server.close()));
    });
    body(() => {
      if (waypoint === null) throw new Error('Envoy has not started');
      return waypoint;
    });
  });
}
