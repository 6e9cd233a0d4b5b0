import assert from 'node:assert/strict';
import { test } from 'node:test';
import { relayTo } from '../../../src/agent/control-relay.ts';

for (const [target, name, expected] of [
  [
    'istiod.istio-system.svc:15012',
    null,
    { address: 'istiod.istio-system.svc', serverName: 'istiod.istio-system.svc' },
  ],
  ['10.0.0.1:15012', 'istiod.istio-system.svc', { address: '10.0.0.1', serverName: 'istiod.istio-system.svc' }],
  ['[fd00::1]:15012', null, { address: 'fd00::1', serverName: 'fd00::1' }],
] as const) {
  test(`waypoints reach the control plane at ${target}${name === null ? '' : ` as ${name}`}`, () => {
    assert.deepEqual(relayTo({ target, tls: true }, name), { ...expected, port: 15012 });
  });
}

test('waypoints reach no control plane that speaks clear text', () => {
  assert.equal(relayTo({ target: '127.0.0.1:15010', tls: false }, null), null);
});
