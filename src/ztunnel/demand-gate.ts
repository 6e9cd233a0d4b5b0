import { parseAddress } from '../model/address.ts';
import type { FlowInfo, InboundQuestion, Question } from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';
import type { DecisionPlane } from './decision-plane.ts';
import type { DemandedName } from './demanded-name.ts';
import { DemandedAddresses } from './demanded-addresses.ts';
import type { ClaimResult, Claimant, DemandLimits } from './demanded-addresses.ts';
import { HeldQuestions } from './held-questions.ts';
import type { QuestionAnswerer } from './questions.ts';

/** Who tells of addresses and services one by one. */
export interface AddressSource {
  /** Each is answered through `DemandGate.responded`. */
  subscribe(names: readonly DemandedName[]): void;
  unsubscribe(names: readonly DemandedName[]): void;
  /** Lets go of everything that came for a name which is not demanded any more. */
  collect(isDemanded: (name: DemandedName) => boolean): void;
  /** When it was last there, milliseconds since the epoch; null while it is. */
  awaySince(): number | null;
  /** A name that stands for nothing is told of when that changes. */
  tellsOfAppearance(): boolean;
}

export interface DemandGateDependencies {
  readonly plane: Pick<
    DecisionPlane,
    'isSettled' | 'isKnown' | 'demandsOf' | 'settle' | 'askAgain' | 'allows' | 'state'
  >;
  readonly answerer: Pick<QuestionAnswerer, 'submit' | 'refuse'>;
  readonly source: AddressSource;
  /** Open connections: what they use is not let go of. */
  readonly flows: () => Iterable<FlowInfo>;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'onDemandAddresses' | 'onDemandFetches' | 'onDemandSeconds' | 'onDemandRefused'>;
  /** How long a question may wait for the control plane; less than it may wait for its answer. Milliseconds. */
  readonly patience: number;
  readonly limits?: DemandLimits;
}

/** Names in logs and metrics are worth this much of a new connection's time. Milliseconds. */
const SOURCE_PATIENCE = 200;
/** After one to two of these without a question and without a connection a name is let go of. Milliseconds. */
const SWEEP_INTERVAL = 300_000;
/** How long nobody is believed to have a name, where its appearance is not told. Milliseconds. */
const ABSENCE_INTERVAL = 30_000;
/** Listing open connections is work of milliseconds. */
const IN_USE_INTERVAL = 1000;
/** Claims what a former run had asked for, until pods claim it themselves. */
const FORMER: Claimant = { pod: '', side: 'destinations' };

/** What of a claim means that the name is asked for. */
const granted: ReadonlySet<ClaimResult> = new Set(['held', 'added']);

/**
 * Where addresses are asked for one by one: holds questions back until the control plane has said who has their address, and where
 * the waypoint is that they have to go through. It only ever delays: a question that has waited for too long is decided on what
 * is known, and then denied.
 */
export class DemandGate {
  readonly #dependencies: DemandGateDependencies;
  readonly #demanded: DemandedAddresses;
  readonly #held: HeldQuestions;
  #added: string[] = [];
  #inUse: { readonly addresses: ReadonlySet<string>; readonly at: number } | null = null;
  #lastSweep: number;
  #cancelTimers: readonly (() => void)[] = [];

  constructor(dependencies: DemandGateDependencies) {
    this.#dependencies = dependencies;
    this.#demanded = new DemandedAddresses(dependencies.limits);
    this.#lastSweep = dependencies.timers.now();
    this.#held = new HeldQuestions({
      ...dependencies,
      awaySince: () => dependencies.source.awaySince(),
      letGo: (question) => {
        dependencies.answerer.submit([question]);
      },
    });
  }

  /** Begins to let go of what is not used. @param former names that a former run knew all about */
  start(former: readonly DemandedName[]): void {
    const { timers, plane, metrics } = this.#dependencies;
    for (const name of former) this.#demanded.adopt(FORMER, name, timers.now());
    plane.settle(former, true);
    metrics.onDemandAddresses.set(this.#demanded.size);
    this.#repeat(SWEEP_INTERVAL, () => {
      this.#sweep();
    });
    this.#repeat(ABSENCE_INTERVAL, () => {
      this.#doubtAbsences();
    });
  }

  stop(): void {
    for (const cancel of this.#cancelTimers) cancel();
    for (const name of this.#held.names()) this.#held.abandon(name);
  }

  /** What is subscribed to, or shall be. */
  names(): Iterable<DemandedName> {
    return this.#demanded.all();
  }

  isDemanded(name: DemandedName): boolean {
    return this.#demanded.has(name);
  }

  isSettled(name: DemandedName): boolean {
    return this.#demanded.has(name) && !this.#held.has(name);
  }

  submit(questions: readonly Question[]): void {
    const ready = questions.filter((question) => !this.#holdBack(question));
    this.#releaseEvicted();
    this.#askForAdded();
    if (ready.length > 0) this.#dependencies.answerer.submit(ready);
  }

  /**
   * A response of the control plane is in force.
   * @param absent names of which it says that they stand for nothing
   * @param complete nothing of what was asked for is left to a later response, such as further endpoints of a service
   */
  responded(absent: ReadonlySet<DemandedName>, complete: boolean): void {
    const { plane } = this.#dependencies;
    const answered = this.#held.names().filter((name) => absent.has(name) || (complete && plane.isKnown(name)));
    if (answered.length === 0) return;
    plane.settle(answered, true);
    const questions = answered.flatMap((name) => this.#held.answered(name, plane.isKnown(name)));
    // What has the address may have a waypoint, which is to be asked for next.
    if (questions.length > 0) this.submit(questions);
  }

  /** The names of addresses have changed: what is known says nothing of them, and everything is to be asked for anew. */
  restart(): void {
    const { plane, source } = this.#dependencies;
    const all = [...this.#demanded.all()];
    for (const name of all) this.#held.expect(name);
    plane.settle(all, false);
    source.subscribe(all);
  }

  #holdBack(question: Question): boolean {
    const { plane, metrics, answerer, patience } = this.#dependencies;
    let awaited: DemandedName | null = null;
    for (const name of this.#demandsOf(question)) {
      const settled = plane.isSettled(name);
      // A workload of this node is told unasked, and nothing is known of a pod that is not there yet.
      if (settled && !this.#demanded.has(name)) continue;
      const result = this.#claim({ pod: question.pod, side: sideOf(question, name) }, name);
      if (settled) continue;
      if (!granted.has(result)) {
        metrics.onDemandRefused.inc({ reason: result });
        answerer.refuse([question], result);
        return true;
      }
      awaited ??= name;
    }
    if (awaited !== null) return this.#held.hold(question, awaited, patience);
    return question.kind === 'inbound' && this.#holdForSource(question);
  }

  /** What cannot be decided is left to who denies it, counts it and has it tried again. */
  #demandsOf(question: Question): readonly DemandedName[] {
    try {
      return this.#dependencies.plane.demandsOf(question);
    } catch {
      return [];
    }
  }

  /**
   * Who may come in is decided by the certificate, and the source's address only names it in logs and metrics. So only a
   * peer that is let in anyway is asked for, and only for a moment: whoever is refused learns so at once and costs nothing.
   */
  #holdForSource(question: InboundQuestion): boolean {
    const { plane } = this.#dependencies;
    const name = question.peer === null ? null : (parseAddress(question.source)?.text ?? null);
    if (name === null) return false;
    const settled = plane.isSettled(name);
    if (settled ? !this.#demanded.has(name) : !this.#isAllowed(question)) return false;
    const result = this.#claim({ pod: question.pod, side: 'sources' }, name);
    if (settled || !granted.has(result)) return false;
    return this.#held.hold(question, name, SOURCE_PATIENCE);
  }

  /** As above. */
  #isAllowed(question: InboundQuestion): boolean {
    try {
      return this.#dependencies.plane.allows(question);
    } catch {
      return false;
    }
  }

  #claim(claimant: Claimant, name: DemandedName): ClaimResult {
    const now = this.#dependencies.timers.now();
    const result = this.#demanded.claim(claimant, name, now, () => this.#addressesInUse(now));
    // Let go of by the very questions that are being looked at, and still subscribed to.
    if (result !== 'added' || this.#dependencies.plane.isSettled(name)) return result;
    this.#held.expect(name);
    this.#added.push(name);
    return result;
  }

  #askForAdded(): void {
    if (this.#added.length === 0) return;
    const added = this.#added;
    this.#added = [];
    this.#dependencies.source.subscribe(added);
    this.#dependencies.metrics.onDemandAddresses.set(this.#demanded.size);
  }

  #releaseEvicted(): void {
    const released = this.#demanded.takeReleased();
    if (released.length === 0) return;
    const { plane, source, metrics, answerer } = this.#dependencies;
    // Whoever waits may try again: the engine asks about it anew.
    answerer.refuse(
      released.flatMap((name) => this.#held.abandon(name)),
      'too_many_destinations',
    );
    // Not believed any more before nobody tells of changes any more.
    plane.settle(released, false);
    source.unsubscribe(released);
    metrics.onDemandAddresses.set(this.#demanded.size);
  }

  #sweep(): void {
    const { plane, timers, source } = this.#dependencies;
    const now = timers.now();
    this.#demanded.sweep(this.#lastSweep, this.#claimants(), this.#addressesInUse(now));
    this.#lastSweep = now;
    this.#releaseEvicted();
    source.collect((name) => this.#demanded.has(name));
    plane.askAgain([...this.#demanded.all()]);
  }

  #claimants(): { has(uid: string): boolean } {
    const { localPods } = this.#dependencies.plane.state;
    return { has: (uid) => uid === FORMER.pod || localPods.has(uid) };
  }

  #doubtAbsences(): void {
    const { plane, source } = this.#dependencies;
    if (source.tellsOfAppearance() || source.awaySince() !== null) return;
    for (const name of this.#demanded.all()) {
      if (!this.#held.has(name) && !plane.isKnown(name)) this.#demanded.drop(name);
    }
    this.#releaseEvicted();
  }

  #addressesInUse(now: number): ReadonlySet<string> {
    if (this.#inUse === null || now - this.#inUse.at >= IN_USE_INTERVAL) {
      const addresses = new Set<string>();
      for (const flow of this.#dependencies.flows()) addresses.add(remoteOf(flow));
      this.#inUse = { at: now, addresses };
    }
    return this.#inUse.addresses;
  }

  #repeat(interval: number, work: () => void): void {
    let cancel: () => void = () => undefined;
    const plan = (): void => {
      cancel = this.#dependencies.timers.after(interval, () => {
        work();
        plan();
      });
    };
    plan();
    this.#cancelTimers = [
      ...this.#cancelTimers,
      () => {
        cancel();
      },
    ];
  }
}

/** The address at the other end, as the pod knows it. */
function remoteOf({ direction, source, originalDestination }: FlowInfo): string {
  const endpoint = direction === 'outbound' ? originalDestination : source;
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

/** At a waypoint the destination is what others ask for; what else an inbound question stands on guards the pod. */
function sideOf(question: Question, name: DemandedName): Claimant['side'] {
  if (question.kind === 'outbound') return 'destinations';
  return parseAddress(question.destination)?.text === name ? 'handovers' : 'guards';
}
