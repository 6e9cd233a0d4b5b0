import { after, before, describe } from 'node:test';

import { envoyBinary } from './envoy-process.ts';
import { GatewayEnvoy } from './gateway-envoy.ts';
import type { GatewaySetup } from './gateway-envoy.ts';
import { closeAll } from './suite.ts';
import type { Servers } from './suite.ts';

/** Servers and one Envoy in front of them, for all tests of a suite. */
export interface Gateway<Having extends Servers> {
  readonly envoy: GatewayEnvoy;
  readonly servers: Having;
}

/**
 * A suite with a real Envoy that is a gateway.
 *
 * @param serve makes the servers; @param configure the gateway, knowing their ports
 */
export function gatewaySuite<Having extends Servers>(
  name: string,
  serve: () => Promise<Having>,
  configure: (servers: Having) => GatewaySetup | Promise<GatewaySetup>,
  body: (gateway: () => Gateway<Having>) => void,
): void {
  describe(name, { timeout: 120_000 }, () => {
    let gateway: Gateway<Having> | null = null;
    before(async () => {
      await envoyBinary();
      const servers = await serve();
      try {
        gateway = { servers, envoy: await GatewayEnvoy.start(await configure(servers)) };
      } catch (error) {
        // Left open they would keep the process of the tests for ever.
        await closeAll(servers);
        throw error;
      }
    });
    after(async () => {
      if (gateway === null) return;
      await gateway.envoy.stop();
      await closeAll(gateway.servers);
    });
    body(() => {
      if (gateway === null) throw new Error('Envoy has not started');
      return gateway;
    });
  });
}
