import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { gatewayStatus, saysAlready } from '../../../../src/control/waypoints/gateway-status.ts';
import type { GatewayOutcome, GatewayStatus } from '../../../../src/control/waypoints/gateway-status.ts';
import { gateway } from './rig.ts';

const now = Date.parse('2030-01-02T03:04:05Z');
const addresses = [{ type: 'Hostname', value: 'waypoint.shop.svc.cluster.local' }] as const;
const well: GatewayOutcome = { addresses, refusal: null, serves: true, notes: [] };

function conditionOf({ conditions }: GatewayStatus, type: string): string {
  const found = conditions.find((condition) => condition.type === type) ?? assert.fail(`no condition ${type}`);
  return `${found.status} ${found.reason}`;
}

describe('the status of a Gateway', () => {
  it('is accepted and programmed where it has an address and a pod', () => {
    const status = gatewayStatus(gateway(), well, now);
    assert.equal(conditionOf(status, 'Accepted'), 'True Accepted');
    assert.equal(conditionOf(status, 'Programmed'), 'True Programmed');
    assert.equal(status.conditions[0]?.observedGeneration, 3);
  });

  it('is not programmed without an address, nor without a pod', () => {
    const without = gatewayStatus(gateway(), { ...well, addresses: [] }, now);
    assert.equal(conditionOf(without, 'Programmed'), 'False AddressNotAssigned');
    const pending = gatewayStatus(gateway(), { ...well, serves: false }, now);
    assert.equal(conditionOf(pending, 'Programmed'), 'False Pending');
  });

  it('says why it is not accepted, and is not programmed then', () => {
    const refusal = { type: 'Accepted', reason: 'InvalidParameters', message: 'no such ConfigMap' } as const;
    const status = gatewayStatus(gateway(), { ...well, refusal }, now);
    assert.equal(conditionOf(status, 'Accepted'), 'False InvalidParameters');
    assert.equal(conditionOf(status, 'Programmed'), 'False Invalid');
  });

  it('stays accepted where a word of it is not honoured, and says which', () => {
    const note = {
      resource: 'Gateway shop/waypoint',
      type: 'Accepted',
      reason: 'ValueNotHonoured',
      message: 'the label',
    };
    const status = gatewayStatus(gateway(), { ...well, notes: [note] }, now);
    assert.equal(conditionOf(status, 'Accepted'), 'True Accepted');
    assert.match(status.conditions[0]?.message ?? '', /the label/);
  });

  it('says what else is noted of it', () => {
    const note = { resource: 'Gateway shop/waypoint', type: 'Programmed', reason: 'Invalid', message: 'Envoy refuses' };
    assert.equal(conditionOf(gatewayStatus(gateway(), { ...well, notes: [note] }, now), 'Programmed'), 'False Invalid');
  });

  it('has a status for each listener, and accepts none but that of the mesh', () => {
    const listeners = [
      { name: 'mesh', port: 15008, protocol: 'HBONE' },
      { name: 'web', port: 80, protocol: 'HTTP' },
    ];
    const status = gatewayStatus(gateway({}, { listeners }), well, now);
    const said = status.listeners.map((listener) => {
      const { name, conditions } = listener as { name: string; conditions: { type: string; status: string }[] };
      return `${name} ${conditions.find(({ type }) => type === 'Accepted')?.status ?? ''}`;
    });
    assert.deepEqual(said, ['mesh True', 'web False']);
  });

  it('keeps the time of a condition whose status stays', () => {
    const [since, before] = ['2029-01-01T00:00:00Z', '2028-01-01T00:00:00Z'];
    const conditions = [
      { type: 'Accepted', status: 'True', lastTransitionTime: since },
      { type: 'Programmed', status: 'False', lastTransitionTime: before },
    ];
    const status = gatewayStatus(gateway({}, {}, { conditions }), well, now);
    assert.equal(status.conditions[0]?.lastTransitionTime, since);
    assert.equal(status.conditions[1]?.lastTransitionTime, '2030-01-02T03:04:05Z');
  });

  it('is not written again where it says so already, and is when its generation moved', () => {
    const status = gatewayStatus(gateway(), well, now);
    assert.ok(saysAlready(gateway({}, {}, status), gatewayStatus(gateway({}, {}, status), well, now + 1000)));
    const moved = gateway({ generation: 4 }, {}, status);
    assert.equal(saysAlready(moved, gatewayStatus(moved, well, now)), false);
  });
});
