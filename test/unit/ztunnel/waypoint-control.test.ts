import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Workload } from '../../../src/model/workload.ts';
import type { OutboundQuestion } from '../../../src/native/binding.ts';
import { decideOutbound } from '../../../src/ztunnel/outbound.ts';
import type { OutboundDecision } from '../../../src/ztunnel/outbound.ts';
import { NODE, localPod } from '../../support/mesh-builders.ts';
import { client, envoy, outboundQuestion, refusal, storeOf } from './waypoint-rig.ts';

suite('outbound to the control plane', () => {
  const control = { address: 'control.example', port: 15012, serverName: 'istiod.istio-system.svc' };
  const own: Workload = { ...envoy, node: NODE };

  async function asked(source: Workload, question: Partial<OutboundQuestion>, known = true): Promise<OutboundDecision> {
    const store = await storeOf({ workloads: [source], localPods: [localPod(source)] });
    store.setControl(known ? control : null);
    return decideOutbound(store, outboundQuestion({ pod: localPod(source).uid, ...question }));
  }

  for (const destination of ['240.240.255.254', '2001:2:0:ffff:ffff:ffff:ffff:fffe']) {
    test(`of a waypoint is relayed by ${destination}`, async () => {
      const decision = await asked(own, { destination, port: 15010 });
      assert.equal(decision.action, 'relay');
      assert.deepEqual(decision.relay, control);
      assert.equal(decision.mask.anyPort, false);
    });
  }

  test('is refused where nobody knows one', async () => {
    assert.equal(refusal(await asked(own, { destination: '240.240.255.254', port: 15010 }, false)), 'no_control_plane');
  });

  test('of another pod is passed on as to any address that is nobody’s', async () => {
    assert.equal((await asked(client, { destination: '240.240.255.254', port: 15010 })).action, 'passthrough');
  });

  test('at another port is passed on', async () => {
    const decision = await asked(own, { destination: '240.240.255.254', port: 80 });
    assert.equal(decision.action, 'passthrough');
  });

  test('is in no answer for the addresses around it', async () => {
    const decision = await asked(own, { destination: '240.240.255.255' });
    assert.equal(decision.action, 'passthrough');
    assert.equal(decision.mask.prefixLength, 32);
    assert.equal((await asked(own, { destination: '208.0.2.1' })).mask.prefixLength, 4);
  });
});
