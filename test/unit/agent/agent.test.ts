import 'reflect-metadata';
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Agent } from '../../../src/agent/agent.ts';
import { initialiseAuthority } from '../../../src/ca/authority.ts';
import { errorCode } from '../../../src/config/errors.ts';
import { resolveAgentSettings } from '../../../src/config/settings.ts';
import { Logging } from '../../../src/telemetry/logger.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import { fakeNative } from '../../support/fake-engine.ts';
import type { FakeEngine } from '../../support/fake-engine.ts';

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

interface Rig {
  readonly agent: Agent;
  readonly events: EventEmitter;
  readonly engine: () => FakeEngine;
  readonly write: (text: string) => void;
  readonly ready: () => Promise<string>;
}

async function newRig(context: TestContext, manifests: string | null, adopted: readonly string[] = []): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-agent-'));
  context.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, 'mesh.yaml');
  const write = (text: string): void => {
    writeFileSync(path, text);
  };
  if (manifests !== null) write(manifests);
  await initialiseAuthority(join(folder, 'ca'));
  const stateDir = join(folder, 'state');
  const ports = { adminPort: '0', metricsPort: '0', readinessPort: '0' };
  const settings = resolveAgentSettings(
    { node: 'node-1', manifests: path, ca: join(folder, 'ca'), stateDir, manifestPoll: '100ms', ...ports },
    {},
  );
  const { native, engine } = fakeNative(adopted);
  const events = new EventEmitter();
  const agent = new Agent({
    settings,
    version: 'test',
    logging: new Logging({ level: 'error', format: 'json', destination: { write: () => undefined } }),
    metrics: createAgentMetrics('test'),
    timers: systemTimers,
    random: Math.random,
    host: {
      mounts: () => Promise.resolve([{ device: '0:1', root: '/', point: '/sys/fs/cgroup', type: 'cgroup2' }]),
      mountNamespace: () => Promise.resolve('1'),
      mountBpffs: () => Promise.resolve(),
    },
    native,
    events,
  });
  return { agent, events, engine, write, ready: () => readiness(join(stateDir, 'ready.sock')) };
}

async function readiness(socketPath: string): Promise<string> {
  const request = get({ socketPath, path: '/healthz/ready', agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += String(part);
  return text.trim();
}

/** Files are watched by the kernel and sockets served by the loop: there is nothing to turn by hand. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    const held = await Promise.resolve(condition()).catch(() => false);
    if (held) return;
    if (performance.now() > end) throw new Error(`never came true: ${condition.toString()}`);
    await setTimeout(5);
  }
}

async function running(rig: Rig, body: () => Promise<void>): Promise<void> {
  const run = rig.agent.run();
  try {
    await Promise.race([until(async () => (await rig.ready()) === 'ready'), run]);
    await body();
  } finally {
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
  }
}

suite('the agent', () => {
  test('starts the engine, enrols its pod with a certificate, drains and stops', async (context) => {
    const rig = await newRig(context, `${labelled}---\n${pod}`);
    await running(rig, () => Promise.resolve());
    assert.deepEqual(rig.engine().calls, ['start', `enrol ${UID} with certificate`, 'drain', 'stop']);
  });

  test('answers what the engine asks', async (context) => {
    const rig = await newRig(context, `${labelled}---\n${pod}`);
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
    const rig = await newRig(context, `${labelled}---\n${pod}`);
    await running(rig, async () => {
      rig.write(`${namespace}---\n${pod}`);
      await until(() => rig.engine().calls.includes(`unenrol ${UID}`));
      await until(() => rig.engine().identities.size === 0);
    });
  });

  test('lets go of what a former agent left and nobody wants', async (context) => {
    const rig = await newRig(context, labelled, ['gone']);
    await running(rig, () => until(() => rig.engine().calls.includes('unenrol gone')));
  });

  test('an uncaught error makes it unready, and it goes on', async (context) => {
    const rig = await newRig(context, `${labelled}---\n${pod}`);
    await running(rig, async () => {
      rig.events.emit('uncaughtException', new Error('broken'));
      assert.match(await rig.ready(), /not ready, pending: uncaught error: broken/);
      assert.equal(rig.engine().pods.size, 1);
    });
  });

  test('a signal while it starts ends it without an error', async (context) => {
    const rig = await newRig(context, labelled);
    const run = rig.agent.run();
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
    assert.deepEqual(rig.events.eventNames(), []);
  });

  test('does not start without manifests, and leaves nothing running', async (context) => {
    const rig = await newRig(context, null);
    await assert.rejects(rig.agent.run(), (error: unknown) => errorCode(error) === 'MANIFESTS_UNREADABLE');
    assert.deepEqual(rig.events.eventNames(), []);
  });
});
