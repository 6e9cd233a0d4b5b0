import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { KubeClient } from '../../../src/kube/kube-client.ts';
import { Reflector } from '../../../src/kube/reflector.ts';
import { FakeApiServer } from '../../support/kube/fake-api-server.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';

const kinds = 12;
const fast = { interval: 2, timeout: 5000 };

interface Outage {
  readonly server: FakeApiServer;
  readonly timers: ManualTimers;
  readonly reflectors: readonly Reflector<string>[];
}

/** Reflectors of one client whose lists have failed so often that they pause for half a minute, more or less. */
async function startOutage(context: TestContext, failures: number): Promise<Outage> {
  const server = new FakeApiServer();
  await server.start();
  const timers = new ManualTimers(1_000_000);
  const access = {
    server: server.url,
    certificateAuthority: () => Promise.resolve(null),
    clientCertificate: null,
    token: () => Promise.resolve(null),
  };
  const client = new KubeClient({ access, timers, userAgent: 'test' });
  const failed = Array.from({ length: kinds }, () => 0);
  const reflectors = failed.map((_none, index) => {
    const path = `/api/v1/kind${index}s`;
    server.define(path);
    const observer = {
      listed: () => undefined,
      watchOpened: () => undefined,
      event: () => undefined,
      failed: () => void (failed[index] = (failed[index] ?? 0) + 1),
      recovered: () => undefined,
      listenerFailed: () => undefined,
    };
    const read = ({ metadata }: { readonly metadata: { readonly name: string } }): string => metadata.name;
    // Different ones for each, as chance would have it.
    const random = (): number => index / kinds;
    return new Reflector<string>({ client, path, read, timers, random, observer });
  });
  server.fault('list', ...Array.from({ length: kinds * failures }, () => ({ kind: 'reset' }) as const));
  const ending = new AbortController();
  setMaxListeners(0, ending.signal);
  const running = reflectors.map((reflector) => reflector.run(ending.signal));
  context.after(async () => {
    ending.abort();
    await Promise.all(running);
    client.close();
    await server.stop();
  });
  for (let round = 1; round <= failures; round++) {
    await waitFor(() => failed.every((count) => count === round), { ...fast, what: `failure ${round} of each` });
    if (round < failures) timers.advance(40_000);
  }
  return { server, timers, reflectors };
}

function listsOf({ requests }: FakeApiServer): number {
  return requests.filter(({ kind }) => kind === 'list').length;
}

test('the first reflector that is answered after an outage wakes the others, which ask once each and not together', async (context) => {
  const { server, timers, reflectors } = await startOutage(context, 7);
  const before = listsOf(server);
  const first = timers.waits[0] ?? 0;
  assert.ok(first >= 24_000, `${first} ms`);
  timers.advance(first);
  await waitFor(() => reflectors.filter(({ state }) => state === 'watching').length === 1, fast);
  await waitFor(() => timers.waits.filter((wait) => wait <= 2000).length === kinds - 1, fast);
  const waits = timers.waits.slice(0, kinds - 1);
  assert.equal(new Set(waits).size, kinds - 1, waits.join());
  timers.advance(2000);
  await waitFor(() => reflectors.every(({ state }) => state === 'watching'), fast);
  assert.equal(listsOf(server) - before, kinds);
});

test('one that fails once more after it was woken begins again with short pauses', async (context) => {
  const { server, timers, reflectors } = await startOutage(context, 7);
  timers.advance(timers.waits[0] ?? 0);
  await waitFor(() => timers.waits.filter((wait) => wait <= 2000).length === kinds - 1, fast);
  server.fault('list', { kind: 'reset' });
  timers.advance(2000);
  await waitFor(() => reflectors.filter(({ state }) => state === 'watching').length === kinds - 1, fast);
  await waitFor(() => reflectors.some(({ state }) => state === 'backoff'), fast);
  assert.ok((timers.waits[0] ?? Infinity) <= 1000, timers.waits.join());
});
