import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type {
  EngineOptions,
  InboundAnswer,
  NativeEngine,
  NativeModule,
  OutboundAnswer,
  PodSpec,
} from '../../../src/native/binding.ts';

// Seen from dist/test/unit/native. The raw module, without the loader's wrapping: what is checked here is the boundary.
const addonPath = fileURLToPath(new URL('../../../../build/ambit.node', import.meta.url));
const missing = existsSync(addonPath) ? false : 'build/ambit.node is not built';

const options: EngineOptions = {
  node: 'unit-test',
  bpffs: '/nonexistent/bpf',
  cgroupRoot: '/nonexistent/cgroup',
  podsCgroup: null,
  nodeNetns: null,
  hostProc: '/proc',
  threads: 1,
  trustDomains: ['cluster.local'],
  accessLog: 'off',
  accessLogFormat: 'json',
  questionTimeout: 5000,
  connectTimeout: 5000,
  version: '1.2.3',
  clusterId: 'Kubernetes',
};

const pod: PodSpec = {
  uid: 'a',
  netns: '/nonexistent/netns',
  addresses: ['10.0.0.1'],
  identity: 'spiffe://cluster.local/ns/a/sa/b',
  workload: 'w',
  probePorts: [8080],
  handover: false,
  dnsCapture: false,
  bypassInbound: false,
};

const answer: OutboundAnswer = {
  kind: 'outbound',
  id: 1,
  generation: 1,
  keys: ['address 10.0.0.1'],
  mask: { prefixLength: 32, anyPort: false, anyDestination: true },
  action: 'connect',
  endpointSet: { id: 's', version: 1 },
  allowLocal: true,
  authority: null,
  relay: null,
  service: null,
  workload: null,
  reason: null,
};

const entry: InboundAnswer = {
  kind: 'inbound',
  id: 2,
  generation: 1,
  keys: [],
  mask: answer.mask,
  action: 'allow',
  policy: null,
  reason: null,
  sourceWorkload: null,
  service: null,
  handover: null,
};

function load(): NativeModule {
  return createRequire(import.meta.url)(addonPath) as NativeModule;
}

function without(object: object, field: string): object {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== field));
}

async function withEngine(run: (engine: NativeEngine) => void | Promise<void>): Promise<void> {
  const engine = new (load().Engine)(options, () => undefined);
  try {
    await run(engine);
  } finally {
    await engine.stop();
  }
}

/** What the boundary promises of an error: a stable code, and a text that names what is wrong. */
function invalid(message: RegExp): object {
  return { name: 'EngineError', code: 'INVALID_ARGUMENT', message };
}

const stopped = { name: 'EngineError', code: 'ILLEGAL_STATE' };

suite('the addon', { skip: missing }, () => {
  test('a missing option is named', () => {
    const { Engine } = load();
    for (const field of Object.keys(options)) {
      const incomplete = without(options, field) as EngineOptions;
      assert.throws(() => new Engine(incomplete, () => undefined), invalid(new RegExp(`^options\\.${field} must be`)));
    }
  });

  test('null is accepted only where it may stand', () => {
    const wrong = { ...options, node: null } as unknown as EngineOptions;
    assert.throws(() => new (load().Engine)(wrong, () => undefined), invalid(/^options\.node must be a string$/));
  });

  test('an option of another type is refused', () => {
    const { Engine } = load();
    const wrong = (change: object): (() => unknown) => {
      return () => new Engine({ ...options, ...change }, () => undefined);
    };
    assert.throws(wrong({ threads: 1.5 }), invalid(/^options\.threads must be an integer from 0 to 255$/));
    assert.throws(wrong({ questionTimeout: -1 }), invalid(/^options\.questionTimeout must be/));
    assert.throws(wrong({ trustDomains: ['a', 1] }), invalid(/^options\.trustDomains\[1\] must be a string$/));
    assert.throws(wrong({ accessLogFormat: 'xml' }), invalid(/must be one of json, plain$/));
  });

  test('the callback must be a function', () => {
    const wrong = null as unknown as () => void;
    assert.throws(() => new (load().Engine)(options, wrong), invalid(/^onEvent must be a function$/));
  });

  test('an engine is refused outside the main thread', async () => {
    const script = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { Engine } = require(workerData.addonPath);
      try { new Engine(workerData.options, () => {}); parentPort.postMessage(null); }
      catch (error) { parentPort.postMessage(error.code); }`;
    load();
    const worker = new Worker(script, { eval: true, workerData: { addonPath, options } });
    const code = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    assert.equal(code, 'ILLEGAL_STATE');
  });

  test('an access log that cannot be opened is an error with its cause', () => {
    const wrong = { ...options, accessLog: '/nonexistent/folder/access.log' };
    assert.throws(() => new (load().Engine)(wrong, () => undefined), {
      code: 'IO',
      message: /No such file or directory/,
    });
  });

  test('calls before start are refused, not lost', () =>
    withEngine(async (engine) => {
      await assert.rejects(engine.enrol(pod), stopped);
      await assert.rejects(engine.health(), stopped);
    }));

  test('a promise rejects for a wrong argument', () =>
    withEngine(async (engine) => {
      const wrong = { ...pod, addresses: ['10.0.0.1', 'ten'] };
      await assert.rejects(engine.enrol(wrong), invalid(/^pod\.addresses\[1\] must be an IP address$/));
      await assert.rejects(engine.enrol({ ...pod, probePorts: [65536] }), invalid(/^pod\.probePorts\[0\] must be/));
      await assert.rejects(engine.drain(-1), invalid(/^deadline must be/));
    }));

  test('every field of an answer must be there', () =>
    withEngine((engine) => {
      const fields = ['kind', 'id', 'generation', 'keys', 'mask', 'action', 'endpointSet', 'allowLocal', 'authority', 'service'];
      for (const field of fields) {
        const incomplete = without(answer, field) as OutboundAnswer;
        const named = new RegExp(`^answers\\[1\\]\\.${field} must be given`);
        assert.throws(() => {
          engine.answer([answer, incomplete]);
        }, invalid(named));
      }
    }));

  test('answers of every kind are taken', () =>
    withEngine((engine) => {
      engine.answer([
        answer,
        { ...answer, action: 'passthrough', endpointSet: null, workload: 'w' },
        { ...answer, action: 'deny', endpointSet: null, reason: 'no_healthy_upstream' },
        { ...entry, action: 'deny', policy: 'ns/p', reason: 'policy_denied' },
      ]);
      engine.invalidate(2, ['address 10.0.0.1']);
      assert.match(engine.metricsText(), /^ambit_decision_unknown_answers_total 4$/m);
    }));

  test('answers that lead through a waypoint or to the control plane are taken', () =>
    withEngine((engine) => {
      const relay = { address: 'control.ambit-system.svc', port: 15012, serverName: 'control.ambit-system.svc' };
      engine.answer([
        { ...answer, authority: { address: '10.96.0.1', port: 80 } },
        { ...answer, action: 'relay', endpointSet: null, relay },
        { ...entry, handover: { port: 15088 } },
      ]);
      assert.match(engine.metricsText(), /^ambit_decision_unknown_answers_total 3$/m);
    }));

  test('what such an answer lacks is named', () =>
    withEngine((engine) => {
      const wrong = (given: object, message: RegExp): void => {
        assert.throws(() => {
          engine.answer([given as OutboundAnswer]);
        }, invalid(message));
      };
      wrong({ ...answer, authority: { address: 'a.b', port: 80 } }, /^answers\[0\]\.authority\.address must be an IP address$/);
      wrong({ ...answer, authority: { address: '10.96.0.1' } }, /^answers\[0\]\.authority\.port must be given/);
      wrong({ ...answer, action: 'relay' }, /^answers\[0\]\.relay must be an object$/);
      wrong(without(entry, 'handover'), /^answers\[0\]\.handover must be given/);
      wrong({ ...entry, handover: { port: 65536 } }, /^answers\[0\]\.handover\.port must be/);
    }));

  test('a pod says whether it takes connections for others', () =>
    withEngine(async (engine) => {
      await assert.rejects(engine.enrol(without(pod, 'handover') as PodSpec), invalid(/^pod\.handover must be given/));
    }));

  test('the directory is taken before start', () =>
    withEngine((engine) => {
      const workload = {
        uid: 'w',
        name: 'n',
        namespace: 'ns',
        workload: 'd',
        canonicalService: '',
        canonicalRevision: '',
        principal: '',
        app: '',
        version: '',
        cluster: '',
        region: '',
        zone: '',
        workloadType: 'deployment',
      };
      engine.setWorkloads([workload]);
      engine.removeWorkloads(['w']);
      engine.setServices([{ key: 'ns/h', hostname: 'h', name: 's', namespace: 'ns' }]);
      engine.removeServices(['ns/h']);
      const endpoint = {
        workload: 'w',
        podUid: null,
        address: 'fd00::1',
        port: 0,
        protocol: 'hbone',
        identities: ['spiffe://cluster.local/ns/a/sa/b'],
        weight: 1,
        local: false,
        authority: null,
      } as const;
      engine.setEndpointSet({ id: 's', version: 1, endpoints: [endpoint] });
      engine.removeEndpointSet('s');
      assert.deepEqual(engine.flows('a', 0, 10), []);
      assert.deepEqual(engine.inboundFlows('a', 0, 10), { flows: [], next: null });
      assert.equal(engine.closeInboundFlows('a', [1, 2], 'policy_changed'), 0);
      engine.setAccessLogFilter({ sampling: 1, outcome: 'denied', directions: ['inbound'], namespaces: ['a'] });
    }));

  test('a second stop is refused, as is every call after the first', async () => {
    const engine = new (load().Engine)(options, () => undefined);
    await engine.stop();
    await assert.rejects(engine.stop(), stopped);
    await assert.rejects(engine.start(), stopped);
    await assert.rejects(engine.forget('a'), stopped);
    await assert.rejects(engine.connectToPod('a', 15000), stopped);
    assert.throws(() => engine.metricsText(), stopped);
    assert.throws(() => {
      engine.answer([]);
    }, stopped);
  });

  test('what crossing the boundary costs', () =>
    withEngine((engine) => {
      const rounds = 10_000;
      const started = performance.now();
      for (let round = 0; round < rounds; round += 1) engine.answer([answer]);
      const microseconds = ((performance.now() - started) * 1000) / rounds;
      console.log(`an answer handed to the engine takes ${microseconds.toFixed(1)} µs`);
      assert.match(engine.metricsText(), new RegExp(`^ambit_decision_answers_total ${rounds}$`, 'm'));
    }));
});
