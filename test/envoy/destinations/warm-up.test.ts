import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';

import { chainResource } from '../../../src/control/envoy/chain-resource.ts';
import { listenerResource } from '../../../src/control/envoy/listener-resource.ts';
import { resourceTypes } from '../../../src/control/envoy/resource-types.ts';
import { routesResource } from '../../../src/control/envoy/routes-resource.ts';
import { waypointResource } from '../../../src/control/envoy/waypoint-resource.ts';
import { buildWaypoint } from '../../../src/envoy/build.ts';
import { ClusterSchema } from '../../../src/proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../../src/proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { DiscoveringEnvoy } from '../../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../../support/envoy/envoy-process.ts';
import { HandBuiltControl } from '../../support/envoy/hand-built-control.ts';
import { destination, input, policy, port, service } from '../../support/envoy/inputs.ts';
import { ask } from '../../support/envoy/requests.ts';
import { waitFor } from '../../support/wait.ts';

const address = '10.96.0.1';
/** Milliseconds. */
const window = 4_000;
const requests = 60;
const warmUp = { duration: window, minimumPercent: 10, aggression: null };

describe('an endpoint that is new, where its destination warms up', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-warm-'));
  const servers: Server[] = [];
  let control: HandBuiltControl;
  let envoy: DiscoveringEnvoy;

  const built = buildWaypoint(
    input({
      services: [service('web', address, port(80, 'http1'))],
      destinations: [
        destination('web', 80, 'http1', [], { policy: policy({ balancer: { kind: 'round-robin', warmUp } }) }),
      ],
    }),
  );

  /** The servers are outside of Envoy's network namespace, so they are asked by sockets of the file system. */
  function setEndpoints(...names: readonly string[]): void {
    const lbEndpoints = names.map((name) => ({
      hostIdentifier: {
        case: 'endpoint' as const,
        value: { address: { address: { case: 'pipe' as const, value: { path: join(folder, name) } } } },
      },
    }));
    for (const { clusterName } of built.endpoints) {
      const message = create(ClusterLoadAssignmentSchema, { clusterName, endpoints: [{ lbEndpoints }] });
      control.set(waypointResource(resourceTypes.endpoints, ClusterLoadAssignmentSchema, clusterName, message, []));
    }
  }

  async function serve(name: string): Promise<void> {
    const server = createServer((_, response) => {
      response.setHeader('x-server', name);
      response.end();
    });
    servers.push(server);
    server.listen(join(folder, name));
    await once(server, 'listening');
  }

  async function serverOf(): Promise<string> {
    const answer = await ask(await envoy.connect(address, 80)).catch(() => null);
    return String(answer?.headers['x-server'] ?? '');
  }

  async function shareOf(name: string): Promise<number> {
    let count = 0;
    for (let index = 0; index < requests; index++) if ((await serverOf()) === name) count++;
    return count;
  }

  before(async () => {
    await envoyBinary();
    chmodSync(folder, 0o755);
    await Promise.all(['old', 'new'].map(serve));
    control = await HandBuiltControl.start();
    control.set(
      ...built.clusters.map((one) => waypointResource(resourceTypes.clusters, ClusterSchema, one.name, one, [])),
      ...built.listeners.map((one) => listenerResource(one, [])),
      ...built.filterChains.map((one) => chainResource(one, [])),
      ...built.routes.map((one) => routesResource(one, [])),
    );
    setEndpoints('old');
    envoy = await DiscoveringEnvoy.start({ port: control.port, credentials: null, cluster: control.waypoint });
    await waitFor(async () => (await serverOf()) === 'old', { what: 'an answer' });
  });

  after(async () => {
    await envoy.stop();
    control.stop();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true });
  });

  test('has a small share at first, and its whole share once its time is over', async () => {
    const begun = performance.now();
    // The first endpoint is new itself for that long.
    await waitFor(() => performance.now() - begun > window, { what: 'the end of the first warm-up' });
    setEndpoints('old', 'new');
    await waitFor(async () => (await serverOf()) === 'new', { what: 'a first answer of the new one', interval: 1 });
    const early = await shareOf('new');
    assert.ok(early < requests / 3, `${early} of ${requests} in the beginning`);
    const isWarm = async () => (await shareOf('new')) >= requests / 2 - 2;
    await waitFor(isWarm, { what: 'half of the requests', timeout: 30_000 });
  });
});
