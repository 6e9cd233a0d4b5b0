import type { StandIn } from './stand-ins.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** What Envoy says no to. */
export interface Refusal {
  readonly name: string;
  /** Its manifests, as conditions name them. */
  readonly origins: readonly string[];
  /** Envoy's own words. */
  readonly message: string;
  /** What holds instead; null: what was in force before. */
  readonly consequence: string | null;
}

interface Refused {
  readonly resource: WaypointResource;
  readonly message: string;
  readonly attempts: number;
  /** What may be sent instead and was not yet, the next first. */
  readonly standIns: readonly StandIn[];
  readonly consequence: string | null;
}

const mostAttempts = 5;
const firstDelay = 5000;
/** Each wait is that many times the one before it: five seconds, and five minutes at last. */
const growth = 4;
/** More than these are not sent again unless they change: an Envoy that refuses everything is not asked without end. */
const mostRetried = 100;

/** What of one type an Envoy refuses, each resource by itself, until it takes it or another version of it. */
export class RefusedResources {
  readonly #byName = new Map<string, Refused>();

  get all(): readonly Refusal[] {
    return [...this.#byName].map(([name, { resource, message, consequence }]) => ({
      name,
      origins: resource.origins,
      message,
      consequence,
    }));
  }

  /** Names of what may be tried once more as it is. */
  get retried(): readonly string[] {
    if (this.#byName.size > mostRetried) return [];
    return [...this.#byName].filter(([, { attempts }]) => attempts < mostAttempts).map(([name]) => name);
  }

  /** Milliseconds; null: none of them is tried again. */
  get retryDelay(): number | null {
    const attempts = this.retried.map((name) => this.#byName.get(name)?.attempts ?? 1);
    return attempts.length === 0 ? null : firstDelay * growth ** (Math.min(...attempts) - 1);
  }

  versionOf(name: string): string | undefined {
    return this.#byName.get(name)?.resource.version;
  }

  /** What is to be sent instead of a resource; null: it is to be sent itself. */
  standInFor({ name, version }: WaypointResource): WaypointResource | null {
    const refused = this.#byName.get(name);
    return refused?.resource.version === version ? (refused.standIns[0]?.resource ?? null) : null;
  }

  /**
   * @param standIns made only where this version was not refused before
   * @returns whether something is to be sent instead
   */
  add(resource: WaypointResource, message: string, standIns: () => readonly StandIn[]): boolean {
    const { name, version } = resource;
    const known = this.#byName.get(name);
    if (known !== undefined && this.#isStandIn(resource)) {
      this.#byName.set(name, { ...known, standIns: known.standIns.slice(1) });
      return known.standIns.length > 1;
    }
    if (known?.resource.version === version) {
      this.#byName.set(name, { ...known, message, attempts: known.attempts + 1 });
      return false;
    }
    const instead = standIns();
    this.#byName.set(name, { resource, message, attempts: 1, standIns: instead, consequence: null });
    return instead.length > 0;
  }

  /** @returns whether it stands in for another one, which is refused as before */
  taken(resource: WaypointResource): boolean {
    const known = this.#byName.get(resource.name);
    const isStandIn = known !== undefined && this.#isStandIn(resource);
    if (isStandIn) {
      const consequence = known.standIns[0]?.consequence ?? null;
      this.#byName.set(resource.name, { ...known, standIns: [], consequence });
    } else this.#byName.delete(resource.name);
    return isStandIn;
  }

  delete(name: string): void {
    this.#byName.delete(name);
  }

  #isStandIn({ name, version }: WaypointResource): boolean {
    return this.#byName.get(name)?.standIns[0]?.resource.version === version;
  }
}
