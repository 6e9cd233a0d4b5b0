import type { Change } from '../../model/state-difference.ts';
import type { ResourceType } from './resource-types.ts';
import type { WaypointPods } from './waypoint-places.ts';
import type { WaypointResource } from './waypoint-resource.ts';

/** A resource that appeared, changed or went away. */
export interface WaypointChange {
  readonly type: ResourceType;
  readonly name: string;
}

export type WaypointListener = (changes: readonly WaypointChange[]) => void;

interface Holding {
  readonly resources: Map<ResourceType, Map<string, WaypointResource>>;
  /** Routes and listeners as an Envoy has taken them last. */
  readonly accepted: Map<string, WaypointResource>;
  readonly listeners: Set<WaypointListener>;
}

/** What is in force at each waypoint, and who may ask for it. */
export class WaypointStore {
  /** Those that have resources, or somebody who listens. */
  readonly #holdings = new Map<string, Holding>();
  readonly #pods = new Map<string, WaypointPods>();

  /** `namespace/name` of the Gateways of which the identity runs a pod. @param identity SPIFFE id */
  runBy(identity: string): readonly string[] {
    return [...this.#pods.values()]
      .filter(({ identities }) => identities.includes(identity))
      .map(({ waypoint }) => waypoint)
      .sort();
  }

  get waypoints(): readonly string[] {
    return [...this.#pods.keys()].sort();
  }

  get(waypoint: string, type: ResourceType, name: string): WaypointResource | null {
    return this.#holdings.get(waypoint)?.resources.get(type)?.get(name) ?? null;
  }

  all(waypoint: string, type: ResourceType): readonly WaypointResource[] {
    return [...(this.#holdings.get(waypoint)?.resources.get(type)?.values() ?? [])];
  }

  /** Routes or a listener that one of the waypoint's Envoys has taken, for as long as there are some of that name. */
  accept(waypoint: string, resource: WaypointResource): void {
    if (this.get(waypoint, resource.type, resource.name) !== null)
      this.#holding(waypoint).accepted.set(acceptedKey(resource), resource);
  }

  /** What was taken last; null: nobody has taken any. */
  accepted(waypoint: string, type: ResourceType, name: string): WaypointResource | null {
    return this.#holdings.get(waypoint)?.accepted.get(acceptedKey({ type, name })) ?? null;
  }

  /** @returns what ends it */
  listen(waypoint: string, listener: WaypointListener): () => void {
    this.#holding(waypoint).listeners.add(listener);
    return () => {
      this.#holding(waypoint).listeners.delete(listener);
      this.#forget(waypoint);
    };
  }

  /** @param resources by `resourceKey`; @param pods by `namespace/name` of their Gateways */
  commit(resources: readonly Change<WaypointResource>[], pods: readonly Change<WaypointPods>[]): void {
    for (const { key, after } of pods) {
      if (after === null) this.#pods.delete(key);
      else this.#pods.set(key, after);
    }
    const announcements = new Map<string, WaypointChange[]>();
    for (const change of resources) {
      const announced = this.#apply(change);
      if (announced === null) continue;
      const waypoint = waypointIn(change.key);
      const known = announcements.get(waypoint);
      if (known === undefined) announcements.set(waypoint, [announced]);
      else known.push(announced);
    }
    for (const [waypoint, changes] of announcements) {
      for (const listener of this.#holding(waypoint).listeners) listener(changes);
      this.#forget(waypoint);
    }
  }

  #apply({ key, before, after }: Change<WaypointResource>): WaypointChange | null {
    const resource = after ?? before;
    if (resource === null) return null;
    const { type, name } = resource;
    const { resources, accepted } = this.#holding(waypointIn(key));
    if (after === null) accepted.delete(acceptedKey(resource));
    const named = resources.get(type) ?? new Map<string, WaypointResource>();
    resources.set(type, named);
    if (after === null) named.delete(name);
    else named.set(name, after);
    return { type, name };
  }

  #holding(waypoint: string): Holding {
    const known = this.#holdings.get(waypoint);
    if (known !== undefined) return known;
    const made: Holding = { resources: new Map(), accepted: new Map(), listeners: new Set() };
    this.#holdings.set(waypoint, made);
    return made;
  }

  #forget(waypoint: string): void {
    const holding = this.#holdings.get(waypoint);
    if (holding === undefined || holding.listeners.size > 0) return;
    if ([...holding.resources.values()].every(({ size }) => size === 0)) this.#holdings.delete(waypoint);
  }
}

function acceptedKey({ type, name }: Pick<WaypointResource, 'type' | 'name'>): string {
  return `${type} ${name}`;
}

/** Of a `resourceKey`, which begins with it. */
function waypointIn(key: string): string {
  return key.slice(0, key.indexOf(' '));
}
