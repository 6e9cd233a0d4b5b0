import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { gatewayListener } from '../../../../src/control/envoy/gateways/gateway-listener.ts';
import type { WaypointResource } from '../../../../src/control/envoy/waypoint-resource.ts';
import { ListenerSchema } from '../../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { listeners, StreamHarness } from '../envoy-stream-rig.ts';

const name = '0.0.0.0_443';

/** Each chain with one filter that asks something. @param asked by name of the chain */
function listenerOf(asked: Readonly<Record<string, string>>, statPrefix = ''): WaypointResource {
  const filterChains = Object.entries(asked).map(([chain, security]) => {
    const value = { typeUrl: 'type.googleapis.com/rules', value: Buffer.from(security) };
    return { name: chain, filters: [{ name: 'rules', configType: { case: 'typedConfig' as const, value } }] };
  });
  return gatewayListener(create(ListenerSchema, { name, statPrefix, filterChains }), ['Gateway shop/door']);
}

/** What the chains of the last listener ask; of one that is closed nothing. */
function lastSent(harness: StreamHarness): Readonly<Record<string, string>> {
  const value = harness.sent.findLast(({ typeUrl }) => typeUrl === listeners)?.resources[0]?.resource?.value;
  const { filterChains } = fromBinary(ListenerSchema, value ?? new Uint8Array());
  return Object.fromEntries(
    filterChains.map(({ name: chain, filters: [filter] }) => {
      const asked = filter?.configType.case === 'typedConfig' ? filter.configType.value.value : new Uint8Array();
      return [chain, filter === undefined ? 'closed' : Buffer.from(asked).toString()];
    }),
  );
}

async function refusing(next: WaypointResource): Promise<StreamHarness> {
  const harness = new StreamHarness(listenerOf({ bank: 'nobody', shop: 'anybody' }));
  await harness.begin();
  harness.set(next);
  await harness.news();
  await harness.answer(listeners, 'no');
  return harness;
}

describe('a listener of a gateway that its Envoy refuses', () => {
  test('is closed where it asks for something else, and stays as it was where it does not', async () => {
    const harness = await refusing(listenerOf({ bank: 'nobody', shop: 'somebody' }));
    assert.deepEqual(await harness.news(), [`listeners +${name}`]);
    assert.deepEqual(lastSent(harness), { bank: 'nobody', shop: 'closed' });
    await harness.answer(listeners);
    assert.match(harness.stream.conditions()[0]?.message ?? '', /what has changed of its servers is closed/);
  });

  test('is closed for a server that is new', async () => {
    const harness = await refusing(listenerOf({ bank: 'nobody', shop: 'anybody', new: 'x' }));
    assert.deepEqual(lastSent(harness), { bank: 'nobody', shop: 'anybody', new: 'closed' });
  });

  test('stays in force as it was where it asks the same', async () => {
    const harness = await refusing(listenerOf({ bank: 'nobody', shop: 'anybody' }, 'other'));
    assert.deepEqual(await harness.news(), []);
  });

  test('is as closed at an Envoy that came with what was in force, and was sent nothing', async () => {
    const before = listenerOf({ bank: 'nobody', shop: 'anybody' });
    const harness = new StreamHarness(before);
    await harness.say({ typeUrl: listeners, initialResourceVersions: { [name]: before.version } });
    assert.deepEqual(await harness.news(), ['listeners']);
    await harness.answer(listeners);
    harness.set(listenerOf({ bank: 'nobody', shop: 'somebody' }));
    await harness.news();
    await harness.answer(listeners, 'no');
    assert.deepEqual(lastSent(harness), { bank: 'nobody', shop: 'closed' });
  });

  test('comes into force once it is mended', async () => {
    const harness = await refusing(listenerOf({ bank: 'nobody', shop: 'somebody' }));
    await harness.answer(listeners);
    harness.set(listenerOf({ bank: 'nobody', shop: 'mended' }));
    await harness.news();
    assert.deepEqual(lastSent(harness), { bank: 'nobody', shop: 'mended' });
    await harness.answer(listeners);
    assert.deepEqual(harness.stream.conditions(), []);
  });
});
