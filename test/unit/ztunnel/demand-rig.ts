import type { MeshState, Service, Workload } from '../../../src/model/workload.ts';
import type { Answer, FlowInfo, Question } from '../../../src/native/binding.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import type { AgentMetrics } from '../../../src/telemetry/metrics.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { DemandGate } from '../../../src/ztunnel/demand-gate.ts';
import type { AddressSource } from '../../../src/ztunnel/demand-gate.ts';
import { demandLimits } from '../../../src/ztunnel/demanded-addresses.ts';
import type { DemandLimits } from '../../../src/ztunnel/demanded-addresses.ts';
import { Needs } from '../../../src/ztunnel/needs.ts';
import { QuestionAnswerer } from '../../../src/ztunnel/questions.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { recordingLogger } from '../../support/loggers.ts';
import type { LogRecord } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { meshState, NODE } from '../../support/mesh-builders.ts';

/** Milliseconds that a question waits for the control plane. */
export const PATIENCE = 4000;

/** A control plane that answers when it is told to, by what is true then. */
export class ModelSource implements AddressSource {
  readonly names = new Set<string>();
  readonly requests: string[] = [];
  away: number | null = null;
  tells = true;
  truth: MeshState;
  readonly #plane: DecisionPlane;
  gate: DemandGate | null = null;

  constructor(truth: MeshState, plane: DecisionPlane) {
    this.truth = truth;
    this.#plane = plane;
  }

  subscribe(addresses: readonly string[]): void {
    this.requests.push(`+${addresses.join()}`);
    for (const address of addresses) this.names.add(address);
  }

  unsubscribe(addresses: readonly string[]): void {
    this.requests.push(`-${addresses.join()}`);
    for (const address of addresses) this.names.delete(address);
  }

  collect(): void {
    this.requests.push('collect');
  }

  awaySince(): number | null {
    return this.away;
  }

  tellsOfAppearance(): boolean {
    return this.tells;
  }

  async deliver(): Promise<void> {
    await this.#plane.apply(this.#told());
    const addresses = [...this.truth.workloads.values()].flatMap((each) => (each.hostNetwork ? [] : each.addresses));
    const vips = [...this.truth.services.values()].flatMap((each) => each.vips);
    const known = new Set([...addresses, ...vips, ...this.truth.services.keys()]);
    this.gate?.responded(new Set([...this.names].filter((name) => !known.has(name))), true);
  }

  #told(): MeshState {
    const needs = new Needs(
      NODE,
      () => this.truth,
      (address) => this.names.has(address),
    );
    const keep =
      (kind: 'workload' | 'service') =>
      ([key]: readonly [string, Workload | Service]): boolean =>
        needs.isNeeded({ kind, key });
    return {
      ...this.truth,
      workloads: new Map([...this.truth.workloads].filter(keep('workload'))),
      services: new Map([...this.truth.services].filter(keep('service'))),
    };
  }
}

export interface DemandRig {
  readonly timers: ManualTimers;
  readonly metrics: AgentMetrics;
  readonly records: readonly LogRecord[];
  readonly cache: CacheModel;
  readonly plane: DecisionPlane;
  readonly source: ModelSource;
  readonly gate: DemandGate;
  readonly answers: readonly Answer[];
  /** Connections that the engine lists as open. */
  readonly flows: FlowInfo[];
  /** As the engine does: asks unless it has an answer. */
  readonly ask: (question: Question) => void;
  readonly last: () => Answer | undefined;
}

/** A gate between a model of the engine's cache and a model of a control plane. */
export async function newDemandRig(truth: MeshState, limits: DemandLimits = demandLimits): Promise<DemandRig> {
  const timers = new ManualTimers();
  const metrics = createAgentMetrics('test');
  const { logger, records } = recordingLogger();
  const cache = new CacheModel();
  const plane = new DecisionPlane({
    node: NODE,
    engine: cache,
    initial: meshState(),
    onDemand: true,
    logger,
    onChange: () => undefined,
  });
  const answers: Answer[] = [];
  const answerer = new QuestionAnswerer({
    decider: plane,
    metrics,
    logger,
    later: (milliseconds, callback) => void timers.after(milliseconds, callback),
    engine: {
      answer: (given) => {
        answers.push(...given);
        cache.answer(given);
      },
    },
  });
  const source = new ModelSource(truth, plane);
  const flows: FlowInfo[] = [];
  const gate = new DemandGate({
    plane,
    answerer,
    source,
    flows: () => flows,
    timers,
    logger,
    metrics,
    patience: PATIENCE,
    limits,
  });
  source.gate = gate;
  await source.deliver();
  gate.start([]);
  let lastId = 0;
  return {
    timers,
    metrics,
    records,
    cache,
    plane,
    source,
    gate,
    answers,
    flows,
    ask: (question: Question): void => {
      if (cache.find(question) !== null) return;
      const asked = { ...question, id: ++lastId };
      cache.asked.set(asked.id, asked);
      gate.submit([asked]);
    },
    last: () => answers.at(-1),
  };
}
