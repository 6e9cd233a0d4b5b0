import { wildcard } from '../../wds/names.ts';
import type { TypeStatus } from '../discovery/delta-stream.ts';
import type { DiscoveryRequest } from '../discovery/request.ts';
import type { Answer, LaneBatch, LaneOptions } from './lane-messages.ts';
import { RefusedResources } from './refused-resources.ts';
import { rejectionText } from './rejection-text.ts';
import type { Refusal } from './refused-resources.ts';
import { resourceTypes } from './resource-types.ts';
import type { ResourceType } from './resource-types.ts';
import { standInsFor } from './stand-ins.ts';
import { Suspects } from './suspects.ts';
import type { WaypointResource } from './waypoint-resource.ts';
import type { WaypointStore } from './waypoint-store.ts';

interface InFlight {
  readonly nonce: string;
  /** Of `performance.now()`. */
  readonly at: number;
  readonly sent: ReadonlyMap<string, WaypointResource>;
  /** Names of which it was said that there is nothing. */
  readonly absent: readonly string[];
}

/** No resource has it: what is in force is none that we know. */
const unknownVersion = '';
/** What a client names beyond these is sent to it anew. */
const mostHeld = 50_000;

/** What one stream has of one type, and what it has yet to get: names and versions of resources that there are, no more. */
export class EnvoyLane {
  readonly type: ResourceType;
  readonly #store: WaypointStore;
  readonly #waypoint: string;
  #all: boolean;
  /** Asked for one by one. */
  readonly #names = new Set<string>();
  /** Versions of what the client has said yes to, by name. */
  readonly #held = new Map<string, string>();
  /** To be sent; it is looked at then, so what changes twice goes once. */
  readonly #changed = new Set<string>();
  readonly #gone = new Set<string>();
  /** Asked for and not there: said at once, for the client waits. */
  readonly #absent = new Set<string>();
  /** Asked for, and nobody knows yet whether they are there: the client keeps what it has of them, or waits, which it does not do for long. */
  readonly #awaited = new Set<string>();
  readonly #suspects = new Suspects();
  /** Versions that were in a response that was refused whole, and of which some may be in force. */
  readonly #doubted = new Map<string, string>();
  readonly #refused = new RefusedResources();
  #answerDue = true;
  #inFlight: InFlight | null = null;
  #sent: string | null = null;
  #acknowledged: string | null = null;
  /** Said of a response of which is not known yet what in it is refused. */
  #doubt: string | null = null;

  constructor(type: ResourceType, store: WaypointStore, waypoint: string, { all, held }: LaneOptions) {
    this.type = type;
    this.#store = store;
    this.#waypoint = waypoint;
    this.#all = all;
    while (this.#held.size < mostHeld && held.next()) this.#held.set(held.name, held.version);
    if (all) this.#lookAtAll();
  }

  get idle(): boolean {
    return this.#inFlight === null && !this.hasChanges;
  }

  get waits(): boolean {
    return this.#inFlight !== null;
  }

  /** An answer is due, or something has come or changed. */
  get hasChanges(): boolean {
    return this.#answerDue || this.#changed.size > 0 || this.#absent.size > 0 || !this.#suspects.isEmpty;
  }

  get hasRemovals(): boolean {
    return this.#gone.size > 0;
  }

  /** What Envoy has refused, what it said, and what is in force instead. */
  get refused(): readonly Refusal[] {
    return this.#refused.all;
  }

  /** Milliseconds until what is refused should be tried once more, changed or not; null: it was often enough. */
  get retryDelay(): number | null {
    return this.#refused.retryDelay;
  }

  /** What Envoy refuses may have been refused for what is on the machine and not in it. */
  retryRefused(): void {
    for (const name of this.#refused.retried) this.#suspects.accuseAlone(name);
  }

  isSubscribed(name: string): boolean {
    return this.#all || this.#names.has(name);
  }

  status(): TypeStatus {
    return {
      type: this.type,
      mode: this.#all ? 'wildcard' : 'named',
      names: this.#names.size,
      pending: this.hasChanges || this.hasRemovals,
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      rejection: this.#refused.all[0]?.message ?? this.#doubt,
    };
  }

  note(name: string): void {
    if (this.isSubscribed(name)) this.#look(name);
  }

  /** Whoever names a resource is sent it, or told that there is none: it may have dropped what it had. */
  subscribe(names: readonly string[], isFirst: boolean): void {
    for (const name of names) {
      if (name === wildcard) {
        this.#all = true;
        this.#lookAtAll();
        continue;
      }
      this.#names.add(name);
      if (this.#store.get(this.#waypoint, this.type, name) === null) this.#absent.add(name);
      if (isFirst) this.#look(name);
      else this.repeat(name);
    }
  }

  /** The resource goes to the client once more, changed or not. */
  repeat(name: string): void {
    this.#held.delete(name);
    this.#look(name, true);
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) {
      if (name === wildcard) this.#all = false;
      this.#names.delete(name);
      if (this.isSubscribed(name)) continue;
      for (const set of [this.#changed, this.#gone, this.#absent, this.#awaited]) set.delete(name);
      this.#forget(name);
    }
  }

  get size(): number {
    return this.#names.size;
  }

  answered({ responseNonce, errorDetail }: DiscoveryRequest): Answer {
    const answered = this.#inFlight;
    // A stale nonce answers what was sent before, and says nothing of what is on its way.
    if (responseNonce === '' || answered?.nonce !== responseNonce) return { kind: 'stale' };
    this.#inFlight = null;
    if (errorDetail !== undefined) return this.#rejectedBy(answered, errorDetail.message);
    for (const resource of answered.sent.values()) this.#taken(resource);
    this.#acknowledged = responseNonce;
    this.#doubt = null;
    return { kind: 'acknowledged', seconds: (performance.now() - answered.at) / 1000 };
  }

  takeChanges(): LaneBatch {
    this.#answerDue = false;
    const suspects = this.#suspects.take().flatMap((name) => this.#wanted(name) ?? []);
    if (suspects.length > 0) return { resources: suspects, removed: [] };
    const resources = [...this.#changed].flatMap((name) => this.#wanted(name) ?? []);
    const removed = [...this.#absent].filter((name) => !this.#changed.has(name));
    this.#changed.clear();
    this.#absent.clear();
    return { resources, removed };
  }

  takeRemovals(): LaneBatch {
    const removed = [...this.#gone];
    for (const name of removed) {
      this.#absent.delete(name);
      this.#forget(name);
    }
    this.#gone.clear();
    return { resources: [], removed };
  }

  sending(nonce: string, { resources, removed }: LaneBatch): void {
    const sent = new Map(resources.map((resource) => [resource.name, resource]));
    this.#inFlight = { nonce, at: performance.now(), sent, absent: removed };
    this.#sent = nonce;
  }

  #taken(resource: WaypointResource): void {
    const { name, version } = resource;
    this.#held.set(name, version);
    this.#doubted.delete(name);
    if (!this.#refused.taken(resource)) this.#accepted(resource);
  }

  /** What stands in for others that are refused later may be made of it. */
  #accepted(resource: WaypointResource): void {
    const { routes, listeners } = resourceTypes;
    if (this.type === routes || this.type === listeners) this.#store.accept(this.#waypoint, resource);
  }

  #rejectedBy({ sent, absent }: InFlight, text: string): Answer {
    const message = rejectionText(this.type, text);
    const names = [...sent.keys()];
    this.#doubt = names.length === 1 ? null : message;
    const [only] = sent.values();
    if (names.length > 1) this.#suspect(sent, text);
    else if (only !== undefined) this.#refuse(only, message);
    // What was said of others was not heard either; by itself it would only be refused again.
    if (names.length > 0) for (const name of absent) if (this.isSubscribed(name)) this.#absent.add(name);
    for (const name of [...names, ...absent]) this.#look(name);
    return { kind: names.length > 1 ? 'doubted' : 'rejected', names, message };
  }

  #suspect(sent: InFlight['sent'], message: string): void {
    for (const { name, version } of sent.values()) this.#doubted.set(name, version);
    this.#suspects.accuse([...sent.keys()], message);
  }

  #refuse(resource: WaypointResource, message: string): void {
    const { name, version } = resource;
    const doubted = this.#doubted.get(name);
    // Another version of it was in a response of which nobody knows what was taken.
    if (doubted !== undefined && doubted !== version) this.#held.set(name, unknownVersion);
    this.#doubted.delete(name);
    const accepted = this.#store.accepted(this.#waypoint, this.type, name);
    const standIns = () => standInsFor(resource, this.#held.get(name), accepted);
    if (this.#refused.add(resource, message, standIns)) this.#suspects.accuseAlone(name);
  }

  /** What is to be sent under a name. */
  #wanted(name: string): WaypointResource | null {
    const resource = this.#store.get(this.#waypoint, this.type, name);
    return resource === null || resource.awaited === true ? null : (this.#refused.standInFor(resource) ?? resource);
  }

  #forget(name: string): void {
    this.#held.delete(name);
    this.#doubted.delete(name);
    this.#refused.delete(name);
    this.#suspects.drop(name);
  }

  /** Of most that it has asked for by name Envoy takes no removal: it gives that up by itself, with what referred to it. */
  #wentAway(name: string): void {
    if (this.#all || this.type === resourceTypes.filterChains) this.#gone.add(name);
    else this.#held.delete(name);
  }

  #lookAtAll(): void {
    for (const { name } of this.#store.all(this.#waypoint, this.type)) this.#look(name);
    for (const name of this.#held.keys()) this.#look(name);
  }

  #look(name: string, again = false): void {
    const resource = this.#store.get(this.#waypoint, this.type, name);
    const held = this.#inFlight?.sent.get(name)?.version ?? this.#held.get(name);
    this.#changed.delete(name);
    this.#gone.delete(name);
    const wasAwaited = this.#awaited.delete(name);
    if (resource?.awaited === true) {
      this.#awaited.add(name);
      return;
    }
    if (resource === null) {
      if (wasAwaited) this.#absent.add(name);
      const isThere = held !== undefined || this.#doubted.has(name);
      this.#suspects.drop(name);
      this.#refused.delete(name);
      this.#doubted.delete(name);
      if (isThere) this.#wentAway(name);
      return;
    }
    this.#absent.delete(name);
    this.#lookAt(resource, held, again);
  }

  /** @param again it is sent even if the client has it */
  #lookAt(resource: WaypointResource, held: string | undefined, again: boolean): void {
    const { name, version } = resource;
    // Of what a client brought with it no answer ever comes.
    if (version === this.#held.get(name) && !this.#doubted.has(name)) this.#accepted(resource);
    // It goes as it is then.
    if (this.#suspects.has(name)) return;
    const refused = this.#refused.versionOf(name);
    if (version === held && !again) this.#refused.delete(name);
    else if (refused === undefined) this.#changed.add(name);
    else if (version !== refused || again) this.#suspects.accuseAlone(name);
  }
}
