import type { TestContext } from 'node:test';

import { KubeClient } from '../../../src/kube/kube-client.ts';
import type { ReflectorObserver } from '../../../src/kube/reflector.ts';
import { ManualTimers } from '../manual-timers.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { FakeObjects } from './fake-objects.ts';

export interface FakeCluster {
  readonly server: FakeApiServer;
  readonly objects: FakeObjects;
  readonly client: KubeClient;
  readonly timers: ManualTimers;
}

/** A fake API server with a client on it; both end with the test. */
export async function startFakeCluster(context: TestContext): Promise<FakeCluster> {
  const server = new FakeApiServer();
  await server.start();
  const timers = new ManualTimers(Date.now());
  const access = {
    server: server.url,
    certificateAuthority: () => Promise.resolve(null),
    clientCertificate: null,
    token: () => Promise.resolve(null),
  };
  const client = new KubeClient({ access, timers, userAgent: 'test' });
  context.after(async () => {
    client.close();
    await server.stop();
  });
  return { server, objects: new FakeObjects(server), client, timers };
}

/** Throws what a listener throws, and counts nothing. */
export function quietObserver(): ReflectorObserver {
  return {
    listed: () => undefined,
    watchOpened: () => undefined,
    event: () => undefined,
    failed: () => undefined,
    recovered: () => undefined,
    listenerFailed: (error) => {
      throw error;
    },
  };
}
