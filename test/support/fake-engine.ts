import type {
  AccessLogFilter,
  Answer,
  EngineEvent,
  EngineOptions,
  FlowInfo,
  InboundFlows,
  NativeEngine,
  NativeModule,
  PodSpec,
} from '../../src/native/binding.ts';

/** An engine that serves nothing and notes what it was told: for tests of what tells it. */
export class FakeEngine implements NativeEngine {
  readonly calls: string[] = [];
  readonly identities = new Set<string>();
  readonly pods = new Map<string, PodSpec>();
  readonly answers: Answer[] = [];
  /** What `flows` lists, in order of the ids. */
  readonly open: FlowInfo[] = [];
  readonly emit: (event: EngineEvent) => void;
  readonly options: EngineOptions;
  /** What `inboundFlows` lists, in one page. */
  readonly inbound: InboundFlows[] = [];
  accessLogFilter: AccessLogFilter | null = null;
  adopted: readonly string[] = [];
  #started = false;

  constructor(options: EngineOptions, onEvent: (event: EngineEvent) => void) {
    this.options = options;
    this.emit = onEvent;
  }

  start(): ReturnType<NativeEngine['start']> {
    this.#started = true;
    this.calls.push('start');
    return Promise.resolve(this.adopted.map((uid) => ({ uid })));
  }

  enrol(pod: PodSpec): Promise<void> {
    if (!this.#started) return Promise.reject(Object.assign(new Error('not started'), { code: 'ILLEGAL_STATE' }));
    this.calls.push(`enrol ${pod.uid} ${this.identities.has(pod.identity) ? 'with' : 'without'} certificate`);
    this.pods.set(pod.uid, pod);
    return Promise.resolve();
  }

  unenrol(uid: string): Promise<void> {
    this.calls.push(`unenrol ${uid}`);
    this.pods.delete(uid);
    return Promise.resolve();
  }

  forget(uid: string): Promise<void> {
    this.calls.push(`forget ${uid}`);
    this.pods.delete(uid);
    return Promise.resolve();
  }

  setAccessLogFilter: NativeEngine['setAccessLogFilter'] = (filter) => {
    this.accessLogFilter = filter;
  };

  setIdentity: NativeEngine['setIdentity'] = ({ spiffeId }) => {
    this.identities.add(spiffeId);
  };

  removeIdentity(spiffeId: string): void {
    this.identities.delete(spiffeId);
  }

  answer(answers: readonly Answer[]): void {
    this.answers.push(...answers);
  }

  setNames(): void {
    // Names are asked for by pods, of which the fake has none.
  }

  removeNames(): void {
    // See `setNames`.
  }

  drain(): ReturnType<NativeEngine['drain']> {
    this.calls.push('drain');
    return Promise.resolve({ closed: 0, forced: 0 });
  }

  stop(): Promise<void> {
    this.calls.push('stop');
    return Promise.resolve();
  }

  health(): ReturnType<NativeEngine['health']> {
    return Promise.resolve({ effective: true, missing: [], pods: this.pods.size });
  }

  metricsText(): string {
    return '';
  }

  connectToPod(): Promise<number> {
    return Promise.reject(new Error('there is nobody in a pod of the fake'));
  }

  flows: NativeEngine['flows'] = (pod, after, limit) =>
    this.open.filter((flow) => flow.pod === pod && flow.id > after).slice(0, limit);

  inboundFlows: NativeEngine['inboundFlows'] = (pod) => ({
    flows: this.inbound.filter(({ question }) => question.pod === pod),
    next: null,
  });

  closeInboundFlows: NativeEngine['closeInboundFlows'] = (pod, ids, reason) => {
    this.calls.push(`close ${ids.join()} of ${pod}: ${reason}`);
    return this.inbound.filter(({ id }) => ids.includes(id)).reduce((sum, { count }) => sum + count, 0);
  };

  setWorkloads(): void {
    this.#note();
  }
  removeWorkloads(): void {
    this.#note();
  }
  setServices(): void {
    this.#note();
  }
  removeServices(): void {
    this.#note();
  }
  setEndpointSet(): void {
    this.#note();
  }
  removeEndpointSet(): void {
    this.#note();
  }
  invalidate(): void {
    this.#note();
  }

  /** What the cache holds is the matter of `CacheModel`. */
  #note(): void {
    if (!this.#started) this.calls.push('told before start');
  }
}

export interface FakeNative {
  readonly native: NativeModule;
  /** The engine, once the agent has made it. */
  readonly engine: () => FakeEngine;
}

/** @param adopted pods that a former agent left captured */
export function fakeNative(adopted: readonly string[] = []): FakeNative {
  const made: FakeEngine[] = [];
  class Engine extends FakeEngine {
    constructor(options: EngineOptions, onEvent: (event: EngineEvent) => void) {
      super(options, onEvent);
      this.adopted = adopted;
      made.push(this);
    }
  }
  return {
    native: { Engine, detach: () => [] },
    engine: () => {
      const [engine] = made;
      if (engine === undefined) throw new Error('no engine was made');
      return engine;
    },
  };
}
