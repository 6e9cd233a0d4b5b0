import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import { KubeClient } from '../../../src/kube/kube-client.ts';
import { LeaderElection } from '../../../src/kube/leader-election.ts';
import { FakeApiServer } from '../../support/kube/fake-api-server.ts';
import { FakeObjects } from '../../support/kube/fake-objects.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';

const leasePath = '/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/ambit';
const fast = { interval: 2, timeout: 5000 };

function specOf(objects: FakeObjects): { readonly holderIdentity: string; readonly leaseTransitions: number } {
  const lease = objects.get(leasePath) as { readonly spec: { holderIdentity: string; leaseTransitions: number } };
  return lease.spec;
}

class Candidate {
  readonly timers = new ManualTimers(1_000_000);
  readonly failures: unknown[] = [];
  leading = false;
  led = 0;
  readonly #abort = new AbortController();
  readonly #client: KubeClient;
  readonly #running: Promise<void>;

  constructor(server: FakeApiServer, identity: string) {
    const access = {
      server: server.url,
      certificateAuthority: () => Promise.resolve(null),
      clientCertificate: null,
      token: () => Promise.resolve(null),
    };
    this.#client = new KubeClient({ access, timers: this.timers, userAgent: identity });
    const election = new LeaderElection({
      client: this.#client,
      namespace: 'istio-system',
      name: 'ambit',
      identity,
      timers: this.timers,
      lead: async (signal) => {
        this.led++;
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        });
      },
      observer: {
        leads: (leading) => (this.leading = leading),
        failed: (error) => this.failures.push(error),
      },
    });
    this.#running = election.run(this.#abort.signal);
  }

  /** Waits until it waits for its next try, and turns its clock. */
  async tick(milliseconds = 2000): Promise<void> {
    await waitFor(() => this.timers.waits.length === 1 && (this.timers.waits[0] ?? 0) <= 2000, fast);
    this.timers.advance(milliseconds);
    await waitFor(() => this.timers.waits.length === 1 && (this.timers.waits[0] ?? 0) <= 2000, fast);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#client.close();
  }
}

async function start(context: TestContext) {
  const server = new FakeApiServer();
  await server.start();
  const objects = new FakeObjects(server);
  const candidates: Candidate[] = [];
  context.after(async () => {
    await Promise.all(candidates.map((candidate) => candidate.stop()));
    await server.stop();
  });
  const join = (identity: string): Candidate => {
    const candidate = new Candidate(server, identity);
    candidates.push(candidate);
    return candidate;
  };
  return { server, objects, join };
}

test('the first leads, the second waits', async (context) => {
  const { objects, join } = await start(context);
  const first = join('a');
  await waitFor(() => first.leading, fast);
  const second = join('b');
  for (let round = 0; round < 10; round++) {
    await second.tick();
    await first.tick();
  }
  assert.equal(second.led, 0);
  assert.equal(first.led, 1);
  assert.equal(specOf(objects).holderIdentity, 'a');
});

test('who stops gives the lead back at once', async (context) => {
  const { objects, join } = await start(context);
  const first = join('a');
  await waitFor(() => first.leading, fast);
  const second = join('b');
  await second.tick();
  await first.stop();
  await second.tick();
  await waitFor(() => second.leading, fast);
  assert.equal(specOf(objects).leaseTransitions, 1);
});

test('who has vanished is followed after the time of its lease, by the clock of the follower', async (context) => {
  const { objects, join } = await start(context);
  objects.objects.set(leasePath, {
    metadata: { name: 'ambit', resourceVersion: '1' },
    spec: { holderIdentity: 'gone', leaseDurationSeconds: 15, renewTime: '2099-01-01T00:00:00.000000Z' },
  } as never);
  const candidate = join('b');
  for (let round = 0; round < 7; round++) await candidate.tick();
  assert.equal(candidate.leading, false);
  await candidate.tick();
  await waitFor(() => candidate.leading, fast);
});

test('who cannot renew gives up before another may lead', async (context) => {
  const { server, join } = await start(context);
  const candidate = join('a');
  await waitFor(() => candidate.leading, fast);
  server.fault('list', ...Array.from({ length: 6 }, () => ({ kind: 'status', status: 500 }) as const));
  for (let round = 0; round < 5; round++) await candidate.tick();
  assert.equal(candidate.leading, false);
  assert.equal(candidate.failures.length, 5 + 1);
});

test('who finds another in its place stops leading', async (context) => {
  const { objects, join } = await start(context);
  const candidate = join('a');
  await waitFor(() => candidate.leading, fast);
  objects.objects.set(leasePath, {
    metadata: { name: 'ambit', resourceVersion: '9' },
    spec: { holderIdentity: 'b', leaseDurationSeconds: 15, renewTime: '2026-01-01T00:00:00.000000Z' },
  } as never);
  await candidate.tick();
  await waitFor(() => !candidate.leading, fast);
  assert.equal(candidate.led, 1);
});
