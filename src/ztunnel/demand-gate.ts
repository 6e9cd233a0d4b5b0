import { parseAddress } from '../model/address.ts';
import type { IpAddress } from '../model/address.ts';
import type { FlowInfo, InboundQuestion, OutboundQuestion, Question } from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';
import type { DecisionPlane } from './decision-plane.ts';
import { DemandedAddresses } from './demanded-addresses.ts';
import type { Claimant, DemandLimits } from './demanded-addresses.ts';
import { HeldQuestions } from './held-questions.ts';
import type { QuestionAnswerer } from './questions.ts';

/** Who tells of addresses one by one. */
export interface AddressSource {
  /** Asks for addresses, in canonical text; each is answered through `DemandGate.responded`. */
  subscribe(addresses: readonly string[]): void;
  unsubscribe(addresses: readonly string[]): void;
  /** Lets go of everything that came for an address which is not demanded any more. */
  collect(isDemanded: (address: string) => boolean): void;
  /** When it was last there, milliseconds since the epoch; null while it is. */
  awaySince(): number | null;
  /** An address that is nobody's is told of when it becomes somebody's. */
  tellsOfAppearance(): boolean;
}

export interface DemandGateDependencies {
  readonly plane: Pick<DecisionPlane, 'isSettled' | 'isKnown' | 'settle' | 'askAgain' | 'allows' | 'state'>;
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
/** After one to two of these without a question and without a connection an address is let go of. Milliseconds. */
const SWEEP_INTERVAL = 300_000;
/** How long nobody is believed to have an address, where its appearance is not told. Milliseconds. */
const ABSENCE_INTERVAL = 30_000;
/** Listing open connections is work of milliseconds. */
const IN_USE_INTERVAL = 1000;
/** Claims what a former run had asked for, until pods claim it themselves. */
const FORMER: Claimant = { pod: '', side: 'destinations' };

/**
 * Where addresses are asked for one by one: holds questions back until the control plane has said who has their address. It
 * only ever delays: a question that has waited for too long is decided on what is known, and then denied.
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

  /** Begins to let go of what is not used. @param former addresses that a former run knew all about */
  start(former: readonly string[]): void {
    const { timers, plane, metrics } = this.#dependencies;
    for (const address of former) this.#demanded.adopt(FORMER, address, timers.now());
    plane.settle(parsed(former), true);
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
    for (const { text } of this.#held.addresses()) this.#held.abandon(text);
  }

  /** Canonical texts of what is subscribed to, or shall be. */
  addresses(): Iterable<string> {
    return this.#demanded.all();
  }

  isDemanded(address: string): boolean {
    return this.#demanded.has(address);
  }

  isSettled(address: string): boolean {
    return this.#demanded.has(address) && !this.#held.has(address);
  }

  submit(questions: readonly Question[]): void {
    const ready = questions.filter((question) => !this.#holdBack(question));
    this.#releaseEvicted();
    this.#askForAdded();
    if (ready.length > 0) this.#dependencies.answerer.submit(ready);
  }

  /**
   * A response of the control plane is in force.
   * @param absent addresses of which it says that nobody has them
   * @param complete nothing of what was asked for is left to a later response, such as further endpoints of a service
   */
  responded(absent: ReadonlySet<string>, complete: boolean): void {
    const { plane, answerer } = this.#dependencies;
    const answered = this.#held
      .addresses()
      .filter((address) => absent.has(address.text) || (complete && plane.isKnown(address)));
    if (answered.length === 0) return;
    plane.settle(answered, true);
    const questions = answered.flatMap((address) => this.#held.answered(address.text, plane.isKnown(address)));
    if (questions.length > 0) answerer.submit(questions);
  }

  /** The names of addresses have changed: what is known says nothing of them, and everything is to be asked for anew. */
  restart(): void {
    const { plane, source } = this.#dependencies;
    const all = parsed(this.#demanded.all());
    for (const address of all) this.#held.expect(address);
    plane.settle(all, false);
    source.subscribe(all.map(({ text }) => text));
  }

  #holdBack(question: Question): boolean {
    return question.kind === 'outbound' ? this.#holdOutbound(question) : this.#holdInbound(question);
  }

  #holdOutbound(question: OutboundQuestion): boolean {
    const address = parseAddress(question.destination);
    if (address === null) return false;
    const settled = this.#dependencies.plane.isSettled(address);
    // A workload of this node is told unasked, and nothing is known of a pod that is not there yet.
    if (settled && !this.#demanded.has(address.text)) return false;
    const result = this.#claim({ pod: question.pod, side: 'destinations' }, address);
    if (settled) return false;
    if (result !== 'added' && result !== 'held') {
      this.#dependencies.metrics.onDemandRefused.inc({ reason: result });
      this.#dependencies.answerer.refuse([question], result);
      return true;
    }
    return this.#held.hold(question, address, this.#dependencies.patience);
  }

  /**
   * Who may come in is decided by the certificate, and the source's address only names it in logs and metrics. So only a
   * peer that is let in anyway is asked for, and only for a moment: whoever is refused learns so at once and costs nothing.
   */
  #holdInbound(question: InboundQuestion): boolean {
    const { plane } = this.#dependencies;
    const address = question.peer === null ? null : parseAddress(question.source);
    if (address === null) return false;
    const settled = plane.isSettled(address);
    if (settled ? !this.#demanded.has(address.text) : !this.#isAllowed(question)) return false;
    const result = this.#claim({ pod: question.pod, side: 'sources' }, address);
    if (settled || (result !== 'added' && result !== 'held')) return false;
    return this.#held.hold(question, address, SOURCE_PATIENCE);
  }

  /** What cannot be decided is left to who denies it, counts it and has it tried again. */
  #isAllowed(question: InboundQuestion): boolean {
    try {
      return this.#dependencies.plane.allows(question);
    } catch {
      return false;
    }
  }

  #claim(claimant: Claimant, address: IpAddress): ReturnType<DemandedAddresses['claim']> {
    const now = this.#dependencies.timers.now();
    const result = this.#demanded.claim(claimant, address.text, now, () => this.#addressesInUse(now));
    // Let go of by the very questions that are being looked at, and still subscribed to.
    if (result !== 'added' || this.#dependencies.plane.isSettled(address)) return result;
    this.#held.expect(address);
    this.#added.push(address.text);
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
      released.flatMap((address) => this.#held.abandon(address)),
      'too_many_destinations',
    );
    // Not believed any more before nobody tells of changes any more.
    plane.settle(parsed(released), false);
    source.unsubscribe(released);
    metrics.onDemandAddresses.set(this.#demanded.size);
  }

  #sweep(): void {
    const { plane, timers, source } = this.#dependencies;
    const now = timers.now();
    this.#demanded.sweep(this.#lastSweep, this.#claimants(), this.#addressesInUse(now));
    this.#lastSweep = now;
    this.#releaseEvicted();
    source.collect((address) => this.#demanded.has(address));
    plane.askAgain(parsed(this.#demanded.all()));
  }

  #claimants(): { has(uid: string): boolean } {
    const { localPods } = this.#dependencies.plane.state;
    return { has: (uid) => uid === FORMER.pod || localPods.has(uid) };
  }

  #doubtAbsences(): void {
    const { plane, source } = this.#dependencies;
    if (source.tellsOfAppearance() || source.awaySince() !== null) return;
    for (const address of parsed(this.#demanded.all())) {
      if (!this.#held.has(address.text) && !plane.isKnown(address)) this.#demanded.drop(address.text);
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

function parsed(texts: Iterable<string>): readonly IpAddress[] {
  return [...texts].flatMap((text) => parseAddress(text) ?? []);
}
