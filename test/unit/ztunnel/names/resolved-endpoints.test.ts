import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import type { OutboundTrafficPolicy, Workload } from '../../../../src/model/workload.ts';
import { decideOutbound } from '../../../../src/ztunnel/outbound.ts';
import type { OutboundDecision } from '../../../../src/ztunnel/outbound.ts';
import { RecordingView } from '../../../../src/ztunnel/recording-view.ts';
import { localPod, meshSettings, service, workload } from '../../../support/mesh-builders.ts';
import { client, endpointOf, outboundQuestion, refusal, storeOf } from '../waypoint-rig.ts';

const api = service('api', { vips: ['240.240.0.1', '2001:2::1'], ports: new Map([[443, 443]]) });
const named = workload('named', {
  podUid: null,
  protocol: 'tcp',
  hostname: 'api.example.com',
  capacity: 3,
  services: endpointOf(api, 443, 443),
});

interface Given {
  readonly addresses?: readonly string[] | null;
  readonly destination?: string;
  readonly port?: number;
  readonly policy?: Partial<OutboundTrafficPolicy>;
  readonly workloads?: readonly Workload[];
}

async function outbound(given: Given = {}): Promise<{ decision: OutboundDecision; view: RecordingView }> {
  const { addresses = ['192.0.2.1'], destination = '240.240.0.1', port = 443, policy = {}, workloads = [] } = given;
  const outboundTrafficPolicy = { ...meshSettings().outboundTrafficPolicy, ...policy };
  const store = await storeOf({
    settings: meshSettings({ outboundTrafficPolicy }),
    workloads: [client, named, ...workloads],
    services: [api],
    localPods: [localPod(client)],
  });
  store.setResolved('api.example.com', addresses);
  const view = new RecordingView(store);
  return { decision: decideOutbound(view, outboundQuestion({ destination, port })), view };
}

async function endpoints(given: Given): Promise<readonly string[]> {
  const { decision } = await outbound(given);
  if (decision.action !== 'connect') return [decision.action === 'deny' ? decision.reason : decision.action];
  return decision.target.set.endpoints.map(({ address, port, weight, protocol }) =>
    [address, port, weight, protocol].join(' '),
  );
}

suite('an endpoint that has a name', () => {
  test('is every address of it, of the family that the client has used', async () => {
    const addresses = ['192.0.2.1', '192.0.2.2', '2001:db8::1'];
    assert.deepEqual(await endpoints({ addresses }), ['192.0.2.1 443 3 tcp', '192.0.2.2 443 3 tcp']);
    assert.deepEqual(await endpoints({ addresses, destination: '2001:2::1' }), ['2001:db8::1 443 3 tcp']);
  });

  test('is one of the other family where it has no other', async () => {
    assert.deepEqual(await endpoints({ addresses: ['2001:db8::1'] }), ['2001:db8::1 443 3 tcp']);
  });

  test('is none while nobody knows the name, and the decision stands on it', async () => {
    const { decision, view } = await outbound({ addresses: null });
    assert.equal(refusal(decision), 'unresolved_name');
    assert.deepEqual(view.unresolvedNames(), ['api.example.com']);
    assert.ok(view.readKeys().includes('name/api.example.com'));
  });

  test('is not looked up for a port that the service has not', async () => {
    const { decision, view } = await outbound({ addresses: null, port: 80 });
    assert.deepEqual([refusal(decision), view.unresolvedNames()], ['no_healthy_upstream', []]);
  });

  const forbidden = ['127.0.0.1', '::1', '169.254.169.254', 'fe80::1', '0.0.0.0', '224.0.0.1', '240.240.0.1'];
  for (const address of [...forbidden, 'fd00:ec2::254', '2001:2::1', '100.100.100.200']) {
    test(`is never ${address}, unless that is allowed`, async () => {
      assert.deepEqual(await endpoints({ addresses: [address] }), ['no_healthy_upstream']);
      assert.deepEqual(await endpoints({ addresses: [address, '192.0.2.1'] }), ['192.0.2.1 443 3 tcp']);
      const allowed = await endpoints({ addresses: [address], policy: { allow: [address] } });
      assert.deepEqual(allowed, [`${address} 443 3 tcp`]);
    });
  }

  test('is no address that is refused to all', async () => {
    const policy = { refuse: ['192.0.2.0/24'], allow: ['192.0.2.1/32'] };
    assert.deepEqual(await endpoints({ policy }), ['no_healthy_upstream']);
  });

  test('is reached by a tunnel where its name leads to a pod of the mesh', async () => {
    const pod = workload('pod', { addresses: ['192.0.2.1'] });
    assert.deepEqual(await endpoints({ workloads: [pod] }), ['192.0.2.1 443 3 hbone']);
  });

  test('is known to the registry, so REGISTRY_ONLY leaves it open', async () => {
    assert.deepEqual(await endpoints({ policy: { mode: 'REGISTRY_ONLY' } }), ['192.0.2.1 443 3 tcp']);
  });
});
