import { defaultMeshSettings } from '../config/manifests/schemas/mesh-settings.ts';
import type { Locality, MeshSettings } from '../model/workload.ts';
import type { AnyCollection, Collection } from './collections/collection.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { Read } from './collections/derived-collection.ts';
import { localityOf } from './context.ts';
import type { Captured, Context, Lookup } from './context.ts';
import type { Labels } from './selectors.ts';
import { settingsKey } from './sources.ts';
import type { Sources } from './sources.ts';
import { createGateways } from './gateways/gateway-collections.ts';
import { createWaypoints } from './waypoints/waypoint-collections.ts';
import type { Waypoint } from './waypoints/waypoint.ts';
import type { WaypointCollections } from './waypoints/waypoint-collections.ts';

/** What derivations look at beside their own document: of each document the part that they use, and no more. */
export class Contexts {
  readonly settings: Collection<MeshSettings>;
  readonly #waypoints: WaypointCollections;
  readonly #gateways: Collection<true>;
  readonly #labels: Collection<Labels>;
  readonly #localities: Collection<Locality>;
  readonly #captured: Captured;

  constructor(graph: CollectionGraph, sources: Sources, captured: Captured) {
    this.#captured = captured;
    this.settings = graph.derive({
      name: 'settings',
      from: sources.MeshSettings,
      compute: ({ spec }): MeshSettings => spec,
    });
    this.#labels = graph.derive({
      name: 'namespace labels',
      from: sources.Namespace,
      compute: ({ metadata }) => metadata.labels,
    });
    this.#localities = graph.derive({
      name: 'localities',
      from: sources.Node,
      compute: ({ metadata }) => localityOf(metadata.labels),
    });
    this.#waypoints = createWaypoints(graph, sources, this.settings);
    this.#gateways = createGateways(graph, sources);
  }

  get waypoints(): Collection<Waypoint> {
    return this.#waypoints.waypoints;
  }

  /** What whoever takes a context has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    const { waypoints, ready } = this.#waypoints;
    return [this.settings, this.#labels, this.#localities, waypoints, ready, this.#gateways];
  }

  settingsFor(read: Read): MeshSettings {
    return read.get(this.settings, settingsKey) ?? defaultMeshSettings;
  }

  /** A context in which every look is recorded. */
  contextFor(read: Read): Context {
    return {
      settings: this.settingsFor(read),
      namespaceLabels: lookup(this.#labels, read),
      localities: lookup(this.#localities, read),
      captured: this.#captured,
      waypoints: lookup(this.#waypoints.waypoints, read),
      readyWaypoints: lookup(this.#waypoints.ready, read),
      gateways: lookup(this.#gateways, read),
    };
  }
}

function lookup<Value>(collection: Collection<Value>, read: Read): Lookup<Value> {
  return { get: (key) => read.get(collection, key) };
}
