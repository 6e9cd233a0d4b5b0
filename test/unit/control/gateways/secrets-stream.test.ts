import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rejectionText } from '../../../../src/control/envoy/rejection-text.ts';
import { clusters, listener, listeners, resource, secrets, StreamHarness } from '../envoy-stream-rig.ts';

const name = 'kubernetes://shop/cert';
const one = resource(secrets, name, 'one');
const two = resource(secrets, name, 'two');

async function begun(): Promise<StreamHarness> {
  const harness = new StreamHarness(listener, one);
  await harness.begin();
  await harness.say({ typeUrl: secrets, resourceNamesSubscribe: [name] });
  return harness;
}

describe('secrets on the stream of an Envoy', () => {
  test('come when it asks for them by name', async () => {
    const harness = new StreamHarness(listener, one);
    await harness.begin();
    assert.deepEqual(await harness.news(), []);
    await harness.say({ typeUrl: secrets, resourceNamesSubscribe: [name] });
    assert.deepEqual(await harness.news(), [`secrets +${name}`]);
  });

  test('are never sent as a whole', async () => {
    const harness = new StreamHarness(listener, one);
    await harness.begin();
    await harness.say({ typeUrl: secrets });
    assert.deepEqual(await harness.news(), ['secrets']);
  });

  test('come anew before the listener that names them', async () => {
    const harness = await begun();
    await harness.answer(secrets);
    await harness.news();
    harness.set(two, resource(listeners, 'waypoint', 'two'));
    assert.deepEqual(await harness.news(), [`secrets +${name}`]);
    await harness.answer(secrets);
    assert.deepEqual(await harness.news(), ['listeners +waypoint']);
  });

  test('do not wait for others that are on their way', async () => {
    const harness = await begun();
    await harness.answer(secrets);
    harness.set(resource(clusters, 'a'));
    await harness.news();
    harness.set(two);
    assert.deepEqual(await harness.news(), [`secrets +${name}`]);
  });

  test('of which nobody knows yet are not said to be missing, and those that an Envoy has are left to it', async () => {
    const unknown = { ...resource(secrets, name), version: '', entry: '', awaited: true } as const;
    const harness = new StreamHarness(listener, unknown);
    await harness.begin();
    await harness.say({ typeUrl: secrets, resourceNamesSubscribe: [name], initialResourceVersions: { [name]: 'old' } });
    assert.deepEqual(await harness.news(), ['secrets']);
    await harness.answer(secrets);
    harness.set(one);
    assert.deepEqual(await harness.news(), [`secrets +${name}`]);
    await harness.answer(secrets);
    harness.set(unknown);
    assert.deepEqual(await harness.news(), []);
  });

  test('that turn out to be missing are said to be so to whoever waits', async () => {
    const unknown = { ...resource(secrets, name), version: '', entry: '', awaited: true } as const;
    const harness = new StreamHarness(listener, unknown);
    await harness.begin();
    await harness.say({ typeUrl: secrets, resourceNamesSubscribe: [name] });
    await harness.answer(secrets);
    await harness.news();
    harness.remove(unknown);
    assert.deepEqual(await harness.news(), [`secrets -${name}`]);
  });

  test('that are refused are told of, and nothing of what is in them', async () => {
    const harness = await begun();
    const line = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg';
    await harness.answer(secrets, `Failed to load private key: ${line}`);
    const [condition] = harness.stream.conditions();
    assert.match(condition?.message ?? '', /is not taken/);
    for (const told of [...harness.stream.conditions(), ...harness.stream.status()])
      assert.ok(!JSON.stringify(told).includes(line.slice(0, 12)));
  });
});

describe('what an Envoy has said of a secret', () => {
  test('is told on where it can hold nothing of it', () => {
    assert.equal(rejectionText(secrets, 'Unexpected SDS secret type'), 'Unexpected SDS secret type');
  });

  test('is not where it may', () => {
    for (const text of ['x -----BEGIN PRIVATE KEY----- y', `bad: ${'A1b2'.repeat(12)}`])
      assert.match(rejectionText(secrets, text), /why is not told/);
  });

  test('is of other resources as it was said', () => {
    assert.equal(rejectionText(listeners, `bad: ${'A1b2'.repeat(12)}`), `bad: ${'A1b2'.repeat(12)}`);
  });
});
