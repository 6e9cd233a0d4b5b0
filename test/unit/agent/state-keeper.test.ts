import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { StateKeeper } from '../../../src/agent/state-keeper.ts';
import type { Snapshot, StateOwner } from '../../../src/agent/state-keeper.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';

const HOUR = 3_600_000;
const owner: StateOwner = {
  node: 'node-1',
  clusterId: 'Kubernetes',
  version: '1',
  control: 'control:15012',
  onDemand: false,
};

function newRig(context: TestContext) {
  const stateDir = mkdtempSync(join(tmpdir(), 'ambit-keeper-'));
  context.after(() => {
    rmSync(stateDir, { recursive: true });
  });
  const timers = new ManualTimers(100 * HOUR);
  const { logger, records } = recordingLogger();
  let taken = 0;
  const snapshot = (): Snapshot => {
    taken++;
    const resource = { typeUrl: typeUrls.address, name: 'a', version: 'v1', value: Uint8Array.of(1) };
    return { own: true, addresses: [], asOf: timers.now(), resources: () => [resource] };
  };
  const keeper = (other: Partial<StateOwner> = {}, take: () => Snapshot | null = snapshot): StateKeeper =>
    new StateKeeper({ stateDir, owner: { ...owner, ...other }, maxAge: 24 * HOUR, snapshot: take, timers, logger });
  return { stateDir, timers, records, keeper, taken: () => taken, file: join(stateDir, 'control-state') };
}

type Rig = ReturnType<typeof newRig>;

async function saved({ keeper }: Rig): Promise<void> {
  const writer = keeper();
  writer.changed();
  await writer.stop();
}

suite('keeping the state', () => {
  test('begins when nothing has changed for a while', async (context) => {
    const rig = newRig(context);
    const keeper = rig.keeper();
    keeper.changed();
    rig.timers.advance(1900);
    keeper.changed();
    rig.timers.advance(1900);
    assert.equal(rig.taken(), 0);
    rig.timers.advance(100);
    assert.equal(rig.taken(), 1);
    await keeper.stop();
  });

  test('does not wait for ever where it is never quiet', async (context) => {
    const rig = newRig(context);
    const keeper = rig.keeper();
    for (let second = 0; second <= 60; second++) {
      keeper.changed();
      rig.timers.advance(1000);
    }
    assert.equal(rig.taken(), 1);
    await keeper.stop();
  });

  test('happens now and then only', async (context) => {
    const rig = newRig(context);
    const keeper = rig.keeper();
    keeper.changed();
    rig.timers.advance(2000);
    await waitFor(() => readdirSync(rig.stateDir).includes('control-state'), { interval: 2, what: 'the file' });
    await new Promise((resolve) => setImmediate(resolve));
    keeper.changed();
    rig.timers.advance(20_000);
    assert.equal(rig.taken(), 1);
    rig.timers.advance(10_000);
    assert.equal(rig.taken(), 2);
    await keeper.stop();
  });

  test('is done once more at the end, and not again after it', async (context) => {
    const rig = newRig(context);
    await saved(rig);
    assert.equal(rig.taken(), 1);
    assert.deepEqual(rig.timers.waits, []);
  });

  test('is repeated without a change, so that the age tells how long ago the control plane was there', async (context) => {
    const rig = newRig(context);
    const keeper = rig.keeper();
    keeper.start();
    rig.timers.advance(2000);
    await waitFor(() => readdirSync(rig.stateDir).includes('control-state'), { interval: 2, what: 'the file' });
    await new Promise((resolve) => setImmediate(resolve));
    rig.timers.advance(7 * HOUR);
    assert.equal(rig.taken(), 2);
    await keeper.stop();
  });

  test('that fails is told, and does no harm', async (context) => {
    const rig = newRig(context);
    const keeper = rig.keeper({}, () => ({
      own: true,
      addresses: [],
      asOf: 0,
      resources: () => {
        throw new Error('broken');
      },
    }));
    keeper.changed();
    await keeper.stop();
    assert.deepEqual(
      rig.records.map(({ level }) => level),
      ['warn'],
    );
  });
});

suite('what a former run kept', () => {
  test('is recalled', async (context) => {
    const rig = newRig(context);
    await saved(rig);
    const recalled = await rig.keeper().recall();
    assert.deepEqual(
      recalled?.resources.map(({ name }) => name),
      ['a'],
    );
    assert.deepEqual(rig.records, []);
  });

  const others: readonly (readonly [string, Partial<StateOwner>])[] = [
    ['another node', { node: 'node-2' }],
    ['another cluster', { clusterId: 'west' }],
    ['another control plane', { control: 'other:15012' }],
    ['an agent that asked for less', { onDemand: true }],
  ];
  for (const [whose, other] of others) {
    test(`as ${whose} is not used, and the log says why`, async (context) => {
      const rig = newRig(context);
      await saved(rig);
      assert.equal(await rig.keeper(other).recall(), null);
      assert.match(rig.records[0]?.message ?? '', /not used: /);
    });
  }

  test('too long ago is not used: policy may be stricter by now', async (context) => {
    const rig = newRig(context);
    await saved(rig);
    rig.timers.advance(24 * HOUR + 1);
    assert.equal(await rig.keeper().recall(), null);
    assert.match(rig.records[0]?.message ?? '', /--state-max-age/);
  });

  test('in the future is not used, but clocks may be a few minutes apart', async (context) => {
    const rig = newRig(context);
    rig.timers.advance(HOUR);
    await saved(rig);
    rig.timers.advance(-4 * 60_000);
    assert.ok((await rig.keeper().recall()) !== null);
    rig.timers.advance(-HOUR / 2);
    assert.equal(await rig.keeper().recall(), null);
  });

  test('and is damaged is ignored with a warning', async (context) => {
    const rig = newRig(context);
    writeFileSync(rig.file, 'nonsense', { mode: 0o600 });
    assert.equal(await rig.keeper().recall(), null);
    assert.equal(rig.records[0]?.level, 'warn');
    assert.equal(statSync(rig.file).size, 8);
  });
});
