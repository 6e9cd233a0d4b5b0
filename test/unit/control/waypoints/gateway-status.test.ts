import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { gatewayStatus, saysAlready } from '../../../../src/control/waypoints/gateway-status.ts';
import type { GatewayOutcome, GatewayStatus } from '../../../../src/control/waypoints/gateway-status.ts';
import type { GatewayReport, ListenerReport } from '../../../../src/control/gateway-report.ts';
import { doorSpec, gateway } from './rig.ts';

const now = Date.parse('2030-01-02T03:04:05Z');
const addresses = [{ type: 'Hostname', value: 'waypoint.shop.svc.cluster.local' }] as const;
const well: GatewayOutcome = { role: 'waypoint', addresses, refusal: null, serves: true, notes: [], report: null };

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
      const { name, conditions } = listener;
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

const http = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute' };

function reportOf(...conditions: readonly ListenerReport['conditions'][]): GatewayReport {
  const listeners = ['web', 'secure'].map((name, index): ListenerReport => ({
    name,
    attachedRoutes: index + 1,
    supportedKinds: [http],
    conditions: conditions[index] ?? [],
  }));
  return { ports: [], listeners, conditions: [] };
}

function doorStatus(outcome: Partial<GatewayOutcome> = {}): GatewayStatus {
  const door: GatewayOutcome = { ...well, role: 'gateway', report: reportOf() };
  return gatewayStatus(gateway({}, doorSpec), { ...door, ...outcome }, now);
}

function ofListener({ listeners }: GatewayStatus, name: string, type: string): string {
  const listener = listeners.find((one) => one.name === name) ?? assert.fail(`no listener ${name}`);
  const found = listener.conditions.find((condition) => condition.type === type) ?? assert.fail(`no ${type}`);
  return `${found.status} ${found.reason}`;
}

const missing = {
  type: 'ResolvedRefs',
  status: 'False',
  reason: 'InvalidCertificateRef',
  message: 'no Secret',
} as const;
const refused = { type: 'Accepted', status: 'False', reason: 'UnsupportedProtocol', message: 'UDP' } as const;

describe('the status of a Gateway that is a door', () => {
  it('has what the mesh makes of each listener', () => {
    const status = doorStatus();
    assert.deepEqual(
      status.listeners.map(({ name, attachedRoutes, supportedKinds }) => [name, attachedRoutes, supportedKinds]),
      [
        ['web', 1, [http]],
        ['secure', 2, [http]],
      ],
    );
    for (const type of ['Accepted', 'ResolvedRefs', 'Programmed'])
      assert.equal(ofListener(status, 'web', type).split(' ')[0], 'True', type);
    assert.equal(ofListener(status, 'web', 'Conflicted'), 'False NoConflicts');
    assert.equal(conditionOf(status, 'Programmed'), 'True Programmed');
  });

  it('has one listener out of force whose Secret is missing, and the other not', () => {
    const status = doorStatus({ report: reportOf([], [missing]) });
    assert.equal(ofListener(status, 'secure', 'ResolvedRefs'), 'False InvalidCertificateRef');
    assert.equal(ofListener(status, 'secure', 'Accepted'), 'True Accepted');
    assert.equal(ofListener(status, 'secure', 'Programmed'), 'False Invalid');
    assert.equal(ofListener(status, 'web', 'Programmed'), 'True Programmed');
    assert.equal(conditionOf(status, 'Accepted'), 'True Accepted');
  });

  it('is accepted with one good listener, and not with none', () => {
    assert.equal(conditionOf(doorStatus({ report: reportOf([], [refused]) }), 'Accepted'), 'True ListenersNotValid');
    const none = doorStatus({ report: reportOf([refused], [refused]) });
    assert.equal(conditionOf(none, 'Accepted'), 'False ListenersNotValid');
    assert.equal(conditionOf(none, 'Programmed'), 'False Invalid');
  });

  it('waits for who has not looked at it yet', () => {
    const status = doorStatus({ report: null });
    assert.equal(ofListener(status, 'web', 'Accepted'), 'False Pending');
    assert.equal(ofListener(status, 'web', 'Programmed'), 'False Pending');
    assert.equal(conditionOf(status, 'Accepted'), 'True Accepted');
    assert.equal(conditionOf(status, 'Programmed'), 'False Pending');
  });

  it('says what helps where nobody makes load balancers', () => {
    const status = doorStatus({ addresses: [] });
    assert.equal(conditionOf(status, 'Programmed'), 'False AddressNotAssigned');
    assert.match(status.conditions[1]?.message ?? '', /networking\.istio\.io\/service-type/);
  });

  it('leaves the ports of the mesh to the mesh', () => {
    const listeners = [{ name: 'web', port: 15021, protocol: 'HTTP' }];
    const outcome: GatewayOutcome = { ...well, role: 'gateway', report: reportOf() };
    const status = gatewayStatus(gateway({}, { ...doorSpec, listeners }), outcome, now);
    assert.equal(ofListener(status, 'web', 'Accepted'), 'False PortUnavailable');
  });

  it('says what the mesh says of the Gateway itself', () => {
    const note = {
      type: 'ResolvedRefs',
      status: 'False',
      reason: 'InvalidClientCertificateRef',
      message: 'a',
    } as const;
    const status = doorStatus({ report: { ...reportOf(), conditions: [note] } });
    assert.equal(conditionOf(status, 'ResolvedRefs'), 'False InvalidClientCertificateRef');
  });

  it('is written again when a route is attached', () => {
    const status = doorStatus();
    const live = gateway({}, doorSpec, status);
    const [web, secure] = reportOf().listeners as [ListenerReport, ListenerReport];
    const more = { ...reportOf(), listeners: [{ ...web, attachedRoutes: 5 }, secure] };
    const outcome: GatewayOutcome = { ...well, role: 'gateway', report: reportOf() };
    assert.ok(saysAlready(live, gatewayStatus(live, outcome, now)));
    assert.equal(saysAlready(live, gatewayStatus(live, { ...outcome, report: more }, now)), false);
  });
});
