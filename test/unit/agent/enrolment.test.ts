import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Enrolment } from '../../../src/agent/enrolment.ts';
import type { LocalPod } from '../../../src/model/workload.ts';
import { EngineError } from '../../../src/native/errors.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers, settled } from '../../support/manual-timers.ts';
import { localPod, workload } from '../../support/mesh-builders.ts';

type Operation = 'enrol' | 'unenrol' | 'forget';

interface Call {
  readonly operation: Operation;
  readonly uid: string;
  readonly finish: (error?: Error) => void;
}

/** Notes each operation, and lets the test say how it ends; finishes by itself where `auto` is set. */
function newRig(auto = true, placedLater = false) {
  const timers = new ManualTimers();
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  const calls: Call[] = [];
  const heard: string[] = [];
  const failures: Error[] = [];
  const underWay = new Map<string, number>();
  const operate = (operation: Operation, uid: string): Promise<void> => {
    assert.equal(underWay.get(uid) ?? 0, 0, 'one operation of a pod at a time');
    underWay.set(uid, 1);
    return new Promise<void>((resolve, reject) => {
      const finish = (error?: Error): void => {
        underWay.set(uid, 0);
        if (error === undefined) resolve();
        else reject(error);
      };
      calls.push({ operation, uid, finish });
      if (auto) finish(failures.shift());
    });
  };
  const enrolment = new Enrolment({
    timers,
    metrics,
    logger,
    random: () => 0.5,
    placedLater,
    dnsCapture: false,
    prepare: () => Promise.resolve(),
    onChange: () => undefined,
    onEnrolled: (uid, enrolled) => heard.push(`${uid} ${enrolled ? 'in' : 'out'}`),
    engine: {
      enrol: ({ uid }) => operate('enrol', uid),
      unenrol: (uid) => operate('unenrol', uid),
      forget: (uid) => operate('forget', uid),
    },
  });
  const operations = (): string[] => calls.map(({ operation, uid }) => `${operation} ${uid}`);
  return { enrolment, timers, metrics, records, calls, heard, failures, operations };
}

const pod = (name: string, overrides: Partial<LocalPod> = {}): LocalPod => localPod(workload(name), overrides);
const pods = (...list: LocalPod[]): ReadonlyMap<string, LocalPod> => new Map(list.map((value) => [value.uid, value]));

suite('enrolment', () => {
  test('a wanted pod is enrolled once, and counts only when the engine has confirmed it', async () => {
    const rig = newRig(false);
    rig.enrolment.reconcile(pods(pod('a')));
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a']);
    assert.deepEqual(rig.heard, []);
    rig.calls[0]?.finish();
    await settled();
    assert.deepEqual(rig.heard, ['uid-a in']);
    assert.equal(rig.enrolment.status()[0]?.enrolled, true);
  });

  test('a pod outside the mesh is left alone', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    await settled();
    assert.deepEqual(rig.operations(), []);
    assert.deepEqual(rig.enrolment.status(), []);
  });

  test('a wanted pod without a network namespace is left alone', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a', { netns: null })));
    rig.enrolment.reconcile(pods(pod('a', { netns: null })));
    await settled();
    assert.deepEqual(rig.operations(), []);
  });

  test('changed addresses or ports are told to the engine, without letting the pod go', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { probePorts: [8080] })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'enrol uid-a']);
    assert.deepEqual(rig.heard, ['uid-a in']);
  });

  test('another network namespace under the same uid is another pod', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { netns: '/run/netns/other' })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'forget uid-a', 'enrol uid-a']);
    assert.deepEqual(rig.heard, ['uid-a in', 'uid-a out', 'uid-a in']);
  });

  test('a pod that changes its identity is never let go in between', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { identity: 'spiffe://cluster.local/ns/default/sa/other' })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'enrol uid-a']);
    assert.deepEqual(rig.heard, ['uid-a in']);
  });

  test('a pod that is no longer wanted is un-enrolled, and others hear of it before the engine does', async () => {
    const rig = newRig(false);
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.calls[0]?.finish();
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'unenrol uid-a']);
    assert.deepEqual(rig.heard, ['uid-a in', 'uid-a out']);
  });

  test('a pod that is gone is forgotten', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods());
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'forget uid-a']);
    assert.deepEqual(rig.enrolment.status(), []);
  });

  test('a pod that goes while its last flows end is forgotten, too', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    await settled();
    rig.enrolment.reconcile(pods());
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'unenrol uid-a', 'forget uid-a']);
  });

  test('a released pod can be enrolled again', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    await settled();
    rig.enrolment.released('uid-a');
    assert.deepEqual(rig.enrolment.status(), []);
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'unenrol uid-a', 'enrol uid-a']);
  });

  test('an adopted pod stays captured until all pods of the node are known', async () => {
    const { enrolment, operations } = newRig(true, true);
    enrolment.adopt([{ uid: 'uid-old' }]);
    enrolment.reconcile(new Map(), false);
    await settled();
    assert.deepEqual(operations(), []);
    enrolment.reconcile(new Map());
    await settled();
    assert.deepEqual(operations(), ['unenrol uid-old']);
  });

  test('an adopted pod that is starting stays captured until its addresses are known', async () => {
    const { enrolment, operations } = newRig(true, true);
    enrolment.adopt([{ uid: 'uid-a' }]);
    enrolment.reconcile(new Map(), true, (uid) => uid === 'uid-a');
    await settled();
    assert.deepEqual(operations(), []);
    enrolment.reconcile(pods(pod('a')));
    await settled();
    assert.deepEqual(operations(), ['enrol uid-a']);
  });

  test('a pod that was named before and is no more is forgotten, though another sandbox of it is starting', async () => {
    const { enrolment, operations } = newRig(true, true);
    enrolment.reconcile(pods(pod('a')));
    await settled();
    enrolment.reconcile(new Map(), true, () => true);
    await settled();
    assert.deepEqual(operations(), ['enrol uid-a', 'forget uid-a']);
  });

  test('a goal that changes under way is pursued when the operation has ended', async () => {
    const rig = newRig(false);
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    rig.enrolment.reconcile(pods());
    await settled();
    assert.equal(rig.calls.length, 1);
    rig.calls[0]?.finish();
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'forget uid-a']);
  });

  test('a failure is tried again, later each time, and warned of once', async () => {
    const rig = newRig();
    const missing = (): Error => new EngineError('NETNS_NOT_FOUND', 'no such namespace');
    rig.failures.push(missing(), missing(), missing());
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    const [status] = rig.enrolment.status();
    assert.equal(status?.failures, 1);
    assert.match(status.lastError ?? '', /no such namespace/);
    const waits: (number | undefined)[] = [];
    while (rig.timers.waits.length > 0) {
      waits.push(rig.timers.waits[0]);
      rig.timers.advance(rig.timers.waits[0] ?? 0);
      await settled();
    }
    assert.deepEqual(waits, [100, 200, 400]);
    assert.deepEqual(rig.heard, ['uid-a in']);
    assert.equal(rig.records.filter(({ level }) => level === 'warn').length, 1);
    assert.match(await rig.metrics.registry.metrics(), /ambit_enrolment_failures_total 3/);
  });

  test('a pod whose enrolment failed half-way is let go when it is not wanted any more', async () => {
    const rig = newRig();
    rig.failures.push(new EngineError('INTERCEPT', 'half-way'));
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { wanted: false })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'unenrol uid-a']);
    assert.deepEqual(rig.timers.waits, []);
  });

  test('one pod’s failure does not hold back another pod', async () => {
    const rig = newRig();
    rig.failures.push(new EngineError('NETNS_NOT_FOUND', 'no such namespace'));
    rig.enrolment.reconcile(pods(pod('a'), pod('b')));
    await settled();
    assert.deepEqual(rig.heard, ['uid-b in']);
  });

  test('a pod that the engine does not know is let go already', async () => {
    const rig = newRig();
    rig.enrolment.adopt([{ uid: 'uid-a' }]);
    rig.failures.push(new EngineError('UNKNOWN_POD', 'who?'));
    rig.enrolment.reconcile(pods());
    await settled();
    assert.deepEqual(rig.enrolment.status(), []);
    assert.deepEqual(rig.timers.waits, []);
  });

  test('of what a former agent left, wanted pods are enrolled and the others are un-enrolled', async () => {
    const rig = newRig();
    rig.enrolment.adopt([{ uid: 'uid-a' }, { uid: 'uid-b' }, { uid: 'uid-c' }]);
    rig.enrolment.reconcile(pods(pod('a'), pod('b', { wanted: false })));
    await settled();
    assert.deepEqual(rig.operations().sort(), ['enrol uid-a', 'unenrol uid-b', 'unenrol uid-c']);
    rig.enrolment.reconcile(pods(pod('a'), pod('b', { wanted: false })));
    await settled();
    assert.equal(rig.calls.length, 3);
  });

  test('the identities are those of pods that are served or shall be', async () => {
    const rig = newRig(false);
    rig.enrolment.reconcile(pods(pod('a'), pod('b', { wanted: false })));
    assert.deepEqual([...rig.enrolment.identities()], ['spiffe://cluster.local/ns/default/sa/a']);
    await settled();
    rig.calls[0]?.finish();
    await settled();
    rig.enrolment.reconcile(pods());
    await settled();
    assert.equal(rig.enrolment.identities().size, 0);
  });

  test('pods with a proxy are those of waypoints, and those of gateways, which take plain connections themselves', async () => {
    const { enrolment } = newRig();
    const proxies = [pod('a', { handover: true }), pod('b', { handover: true, bypassInbound: true })];
    enrolment.reconcile(pods(...proxies, pod('c', { bypassInbound: true }), pod('d')));
    await settled();
    assert.deepEqual(
      enrolment.proxies().map(({ name, kind }) => [name, kind]),
      [
        ['default/a', 'waypoint'],
        ['default/b', 'gateway'],
      ],
    );
  });

  test('that a pod takes plain connections itself is told to the engine, without letting the pod go', async () => {
    const rig = newRig();
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.reconcile(pods(pod('a', { bypassInbound: true })));
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a', 'enrol uid-a']);
  });

  test('after stop nothing is begun, also not what was to be tried again', async () => {
    const rig = newRig();
    rig.failures.push(new EngineError('NETNS_NOT_FOUND', 'no such namespace'));
    rig.enrolment.reconcile(pods(pod('a')));
    await settled();
    rig.enrolment.stop();
    rig.enrolment.reconcile(pods(pod('b')));
    rig.timers.advance(60_000);
    await settled();
    assert.deepEqual(rig.operations(), ['enrol uid-a']);
  });
});
