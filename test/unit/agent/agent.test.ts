import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { errorCode } from '../../../src/config/errors.ts';
import type { InboundFlows } from '../../../src/native/binding.ts';
import { newAgentRig, running, until } from './rig.ts';

const namespace = 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n';
const labelled = `${namespace}  labels: { istio.io/dataplane-mode: ambient }\n`;
const pod = `apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  uid: 11111111-1111-4111-8111-111111111111
  annotations: { ambit.dev/netns: /run/netns/web }
spec: { nodeName: node-1, serviceAccountName: web, containers: [{ name: web, image: web }] }
status: { podIPs: [{ ip: 10.1.0.1 }] }
`;
const UID = '11111111-1111-4111-8111-111111111111';

const strict = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: shop }
spec: { mtls: { mode: STRICT } }
`;

const plaintextFlow: InboundFlows = {
  id: 5,
  question: {
    kind: 'inbound',
    id: 0,
    pod: UID,
    peer: null,
    source: '192.0.2.1',
    destination: '10.1.0.1',
    port: 80,
    transport: 'plaintext',
  },
  count: 2,
};

for (const feed of ['manifests', 'told', 'control'] as const) {
  suite(`the agent, fed by ${feed}`, () => {
    test('starts the engine, enrols its pod with a certificate, drains and stops', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: `${labelled}---\n${pod}` });
      await running(rig, () => Promise.resolve());
      assert.deepEqual(rig.engine().calls, ['start', `enrol ${UID} with certificate`, 'drain', 'stop']);
    });

    test('answers what the engine asks', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: `${labelled}---\n${pod}` });
      await running(rig, () => {
        const question = { kind: 'outbound', id: 7, pod: UID, destination: '192.0.2.1', port: 80 } as const;
        rig.engine().emit({ kind: 'questions', questions: [question] });
        assert.deepEqual(
          rig.engine().answers.map(({ id, action }) => ({ id, action })),
          [{ id: 7, action: 'passthrough' }],
        );
        return Promise.resolve();
      });
    });

    test('follows an edit of the manifests', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: `${labelled}---\n${pod}` });
      await running(rig, async () => {
        rig.write(`${namespace}---\n${pod}`);
        await until(() => rig.engine().calls.includes(`unenrol ${UID}`));
        await until(() => rig.engine().identities.size === 0);
      });
    });

    test('lets go of what a former agent left and nobody wants', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: labelled, adopted: ['gone'] });
      await running(rig, () => until(() => rig.engine().calls.includes('unenrol gone')));
    });

    test('an uncaught error makes it unready, and it goes on', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: `${labelled}---\n${pod}` });
      await running(rig, async () => {
        rig.events.emit('uncaughtException', new Error('broken'));
        assert.match(await rig.ready(), /not ready, pending: uncaught error: broken/);
        assert.equal(rig.engine().pods.size, 1);
      });
    });

    test('closes open connections that an edited policy denies', async (context) => {
      const rig = await newAgentRig(context, { feed, manifests: `${labelled}---\n${pod}` });
      await running(rig, async () => {
        rig.engine().inbound.push(plaintextFlow);
        rig.write(`${labelled}---\n${pod}---\n${strict}`);
        await until(() => rig.engine().calls.includes(`close 5 of ${UID}: policy_changed`));
      });
    });
  });
}

suite('the agent without a feed', () => {
  test('a signal while it starts ends it without an error', async (context) => {
    const rig = await newAgentRig(context, { manifests: labelled });
    const run = rig.agent.run();
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
    assert.deepEqual(rig.events.eventNames(), []);
  });

  test('does not start without manifests, and leaves nothing running', async (context) => {
    const rig = await newAgentRig(context, { manifests: null });
    await assert.rejects(rig.agent.run(), (error: unknown) => errorCode(error) === 'MANIFESTS_UNREADABLE');
    assert.deepEqual(rig.events.eventNames(), []);
  });
});
