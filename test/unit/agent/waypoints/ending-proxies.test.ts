import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { EndingProxies } from '../../../../src/agent/waypoints/ending-proxies.ts';
import type { LocalPod } from '../../../../src/model/workload.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { localPod, workload } from '../../../support/mesh-builders.ts';
import { waitFor } from '../../../support/wait.ts';

const fast = { interval: 1, timeout: 2000 };

function start(failures = 0) {
  const asked: string[] = [];
  const timers = new ManualTimers(0);
  const request = (pod: string, port: number, { method, path }: { method: string; path: string }) => {
    asked.push(`${method} ${pod} ${port} ${path}`);
    return asked.length <= failures ? Promise.reject(new Error('nobody')) : Promise.resolve({ status: 200, body: '' });
  };
  return { asked, timers, endings: new EndingProxies({ loopback: { request }, timers, logger: silentLogger }) };
}

function pods(ending: boolean): ReadonlyMap<string, LocalPod> {
  return new Map(
    ['a', 'b'].map((uid) => [uid, localPod(workload(uid, { podUid: uid }), { ending: ending && uid === 'a' })]),
  );
}

describe('proxies of waypoints whose pods are to end', () => {
  it('are told once, and others are not', async () => {
    const { asked, endings } = start();
    endings.reconcile(pods(false), ['a', 'b']);
    endings.reconcile(pods(true), ['a', 'b']);
    endings.reconcile(pods(true), ['a', 'b']);
    await waitFor(() => asked.length > 0, fast);
    assert.deepEqual(asked, ['POST a 15000 /healthcheck/fail']);
  });

  it('are not told where the engine does not serve them as waypoints', () => {
    const { asked, endings } = start();
    endings.reconcile(pods(true), ['b']);
    assert.deepEqual(asked, []);
  });

  it('are told again where they could not be, and not without end', async () => {
    const { asked, endings, timers } = start(9);
    endings.reconcile(pods(true), ['a']);
    for (const tries of [1, 2]) {
      await waitFor(() => asked.length === tries && timers.waits.length === 1, fast);
      timers.advance(300);
    }
    await waitFor(() => asked.length === 3, fast);
    assert.deepEqual(timers.waits, []);
  });

  it('are left alone once the pod has gone', async () => {
    const { asked, endings, timers } = start(9);
    endings.reconcile(pods(true), ['a']);
    await waitFor(() => timers.waits.length === 1, fast);
    endings.reconcile(new Map(), []);
    timers.advance(300);
    await waitFor(() => asked.length === 2, fast);
    await new Promise(setImmediate);
    assert.deepEqual(timers.waits, []);
  });
});
