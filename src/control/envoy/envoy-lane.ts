import { wildcard } from '../../wds/names.ts';
import type { TypeStatus } from '../discovery/delta-stream.ts';
import type { DiscoveryRequest, HeldVersions } from '../discovery/request.ts';
import { resourceTypes } from './resource-types.ts';
import type { ResourceType } from './resource-types.ts';
import type { WaypointResource } from './waypoint-resource.ts';
import type { WaypointStore } from './waypoint-store.ts';

/** Resources of one type that go into one response. */
export interface LaneBatch {
  readonly resources: readonly WaypointResource[];
  readonly removed: readonly string[];
}

interface InFlight {
  readonly nonce: string;
  /** Of `performance.now()`. */
  readonly at: number;
  readonly names: readonly string[];
}

/** How a client has answered. */
export type Answer =
  | { readonly kind: 'stale' }
  | { readonly kind: 'acknowledged'; readonly seconds: number }
  | { readonly kind: 'rejected'; readonly names: readonly string[]; readonly message: string };

const longestRejection = 1000;
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
  /** What the client has, by name. */
  readonly #held = new Map<string, string>();
  /** To be sent; it is looked at then, so what changes twice goes once. */
  readonly #changed = new Set<string>();
  readonly #gone = new Set<string>();
  /** Asked for and not there: said at once, for the client waits. */
  readonly #absent = new Set<string>();
  #answerDue = true;
  #inFlight: InFlight | null = null;
  #sent: string | null = null;
  #acknowledged: string | null = null;
  #rejection: string | null = null;
  /** What of the last rejections was not sent anew since, by name. */
  readonly #rejected = new Map<string, string>();

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
    return this.#answerDue || this.#changed.size > 0 || this.#absent.size > 0;
  }

  get hasRemovals(): boolean {
    return this.#gone.size > 0;
  }

  /** What Envoy has refused and what it said, by the names of the resources. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected;
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
      rejection: this.#rejection,
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
      if (!isFirst) this.#held.delete(name);
      if (this.#store.get(this.#waypoint, this.type, name) === null) this.#absent.add(name);
      this.#look(name);
    }
  }

  /** The resource goes to the client once more, changed or not. */
  repeat(name: string): void {
    this.#held.delete(name);
    this.#look(name);
  }

  unsubscribe(names: readonly string[]): void {
    for (const name of names) {
      if (name === wildcard) this.#all = false;
      this.#names.delete(name);
      if (this.isSubscribed(name)) continue;
      for (const set of [this.#changed, this.#gone, this.#absent]) set.delete(name);
      this.#held.delete(name);
      this.#rejected.delete(name);
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
    for (const name of answered.names) this.#rejected.delete(name);
    if (errorDetail === undefined) {
      this.#acknowledged = responseNonce;
      this.#rejection = null;
      return { kind: 'acknowledged', seconds: (performance.now() - answered.at) / 1000 };
    }
    const message = errorDetail.message.slice(0, longestRejection);
    this.#rejection = message;
    const names = blamed(answered.names, errorDetail.message);
    for (const name of names) this.#rejected.set(name, message);
    return { kind: 'rejected', names, message };
  }

  takeChanges(): LaneBatch {
    this.#answerDue = false;
    const resources = [...this.#changed].flatMap((name) => this.#store.get(this.#waypoint, this.type, name) ?? []);
    const removed = [...this.#absent].filter((name) => !this.#changed.has(name));
    for (const { name, version } of resources) this.#held.set(name, version);
    this.#changed.clear();
    this.#absent.clear();
    return { resources, removed };
  }

  takeRemovals(): LaneBatch {
    const removed = [...this.#gone];
    for (const name of removed) {
      this.#absent.delete(name);
      this.#held.delete(name);
      this.#rejected.delete(name);
    }
    this.#gone.clear();
    return { resources: [], removed };
  }

  sending(nonce: string, { resources }: LaneBatch): void {
    this.#inFlight = { nonce, at: performance.now(), names: resources.map(({ name }) => name) };
    this.#sent = nonce;
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

  #look(name: string): void {
    const resource = this.#store.get(this.#waypoint, this.type, name);
    const held = this.#held.get(name);
    this.#changed.delete(name);
    this.#gone.delete(name);
    if (resource !== null) {
      this.#absent.delete(name);
      if (resource.version !== held) this.#changed.add(name);
    } else if (held !== undefined) this.#wentAway(name);
  }
}

export interface LaneOptions {
  /** Everything of the type, not only what is named. */
  readonly all: boolean;
  readonly held: HeldVersions;
}

/** Envoy names what it refuses in the text of its refusal; where none of them is in it, any of them may be it. */
function blamed(names: readonly string[], message: string): readonly string[] {
  const named = names.filter((name) => message.includes(name));
  return named.length === 0 ? names : named;
}
