import assert from 'node:assert/strict';
import type { JsonValue } from '@bufbuild/protobuf';

import { readRaw } from '../../src/config/manifests/parse.ts';
import type { UnreadableObject } from '../../src/config/manifests/resources.ts';
import { changesBetween } from '../../src/config/manifests/store.ts';
import type { DocumentChange } from '../../src/config/mesh-input.ts';
import { describeWaypoint } from '../../src/control/envoy/describe-waypoint.ts';
import { resourceTypes, sendingOrder } from '../../src/control/envoy/resource-types.ts';
import type { ResourceType } from '../../src/control/envoy/resource-types.ts';
import { WaypointDerivation } from '../../src/control/envoy/waypoint-derivation.ts';
import { WaypointStore } from '../../src/control/envoy/waypoint-store.ts';
import type { GatewayReport, GatewayReports } from '../../src/control/gateway-report.ts';
import type { NamedReference } from '../../src/control/named-reference.ts';
import { MeshDerivation } from '../../src/derive/mesh-derivation.ts';
import type { Manifest } from './manifests.ts';

/** What a control plane makes of documents for its waypoints, without anybody who asks. */
export class WaypointRig {
  readonly store = new WaypointStore();
  #derivation: WaypointDerivation | null = null;
  /** Names of Secrets and ConfigMaps that gateways need. */
  followed: readonly string[] = [];
  /** Likewise, `namespace: Secret shop/certificate`: with whose documents name them. */
  namedBy: readonly string[] = [];
  /** As in a cluster: what has neither come nor been told to be missing may still come. */
  awaits = false;
  readonly #mesh = new MeshDerivation({
    node: null,
    now: () => 0,
    extend: (parts) => {
      const follow = (references: readonly NamedReference[]): void => {
        this.followed = [...new Set(references.map(({ object }) => object))].sort();
        this.namedBy = references.map(({ object, by }) => `${by}: ${object}`).sort();
      };
      return (this.#derivation = new WaypointDerivation(parts, {
        store: this.store,
        now: () => Date.now(),
        follow,
        awaits: () => this.awaits,
      }));
    },
  });

  constructor(...manifests: readonly Manifest[]) {
    this.set(...manifests);
  }

  set(...manifests: readonly Manifest[]): void {
    this.#update(manifests.map(documentChange));
  }

  /** What is said of an object that is followed. @param object `Secret shop/certificate` */
  tell(object: string, document: UnreadableObject | null): void {
    this.#update([{ kind: 'UnreadableObject', key: object, document }]);
  }

  remove(...manifests: readonly Manifest[]): void {
    this.#update(manifests.map((manifest) => ({ ...documentChange(manifest), document: null })));
  }

  /** `type name` of the resources of a waypoint that a change has touched. */
  touchedBy(waypoint: string, change: () => void): readonly string[] {
    const touched: string[] = [];
    const stop = this.store.listen(waypoint, (changes) => {
      touched.push(...changes.map(({ type, name }) => `${shortType(type)} ${name}`));
    });
    change();
    stop();
    return touched.sort();
  }

  /** How many items of which collections a change has computed. */
  computedBy(change: () => void): Readonly<Record<string, number>> {
    const before = this.#counts();
    change();
    const after = [...this.#counts()].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
    return Object.fromEntries(after.filter(([, count]) => count > 0));
  }

  names(waypoint: string, type: keyof typeof resourceTypes): readonly string[] {
    return this.store
      .all(waypoint, resourceTypes[type])
      .map(({ name }) => name)
      .sort();
  }

  /** A resource as JSON. */
  json(waypoint: string, type: keyof typeof resourceTypes, name: string): JsonValue {
    const found = describeWaypoint(this.store, waypoint)?.[type].find((resource) => resource.name === name);
    assert.ok(found, `${type} ${name}`);
    return found.resource;
  }

  /** Resources as they are sent, byte by character. */
  entries(waypoint: string, type: keyof typeof resourceTypes): readonly string[] {
    return this.store.all(waypoint, resourceTypes[type]).map(({ entry }) => entry);
  }

  /** Everything of every waypoint, to be compared: name and version. */
  versions(waypoints: readonly string[]): readonly string[] {
    return waypoints
      .flatMap((waypoint) =>
        sendingOrder.flatMap((type) =>
          this.store
            .all(waypoint, type)
            .map(({ name, version }) => `${waypoint} ${shortType(type)} ${name} ${version}`),
        ),
      )
      .sort();
  }

  /** `Kind namespace/name: type/reason`, of those that are about manifests of traffic. */
  get conditions(): readonly string[] {
    const texts = this.#mesh.state.conditions.map(({ resource, type, reason }) => `${resource}: ${type}/${reason}`);
    return [...new Set(texts)].sort();
  }

  /** What is told of gateways, by their documents. */
  get reports(): GatewayReports {
    return this.#derivation?.reports ?? new Map<string, GatewayReport>();
  }

  /** Where routes are attached to gateways, likewise as texts. */
  get accepted(): readonly string[] {
    return (this.#derivation?.accepted ?? []).map(({ resource, message }) => `${resource}: ${message}`).sort();
  }

  messageOf(resource: string): string {
    return this.#mesh.state.conditions
      .filter((item) => item.resource === resource)
      .map(({ message }) => message)
      .join('\n');
  }

  get footprint(): number {
    return this.#mesh.footprint;
  }

  #counts(): ReadonlyMap<string, number> {
    return new Map(this.#mesh.describe().map(({ name, recomputed }) => [name, recomputed ?? 0]));
  }

  #update(changes: readonly DocumentChange[]): void {
    const steps = this.#mesh.update(changes);
    for (;;) {
      const step = steps.next();
      if (step.done !== true) continue;
      const [failure] = step.value.failures;
      if (failure !== undefined) throw failure.error;
      step.value.commit();
      return;
    }
  }
}

function shortType(type: ResourceType): string {
  const [name = ''] = Object.entries(resourceTypes).find(([, url]) => url === type) ?? [];
  return name;
}

/** The document as a source gives it. */
function documentChange(manifest: Manifest): DocumentChange {
  const parsed = readRaw('m.yaml', 1, JSON.parse(JSON.stringify(manifest)));
  assert.ok(parsed?.resource != null, JSON.stringify(parsed?.problems));
  const { key, file, line, raw, resource } = parsed;
  const [change] = changesBetween(new Map(), new Map([[key, { key, file, line, raw, resource }]]));
  assert.ok(change);
  return change;
}
