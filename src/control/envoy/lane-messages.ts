import type { HeldVersions } from '../discovery/request.ts';
import type { WaypointResource } from './waypoint-resource.ts';

export interface LaneOptions {
  /** Everything of the type, not only what is named. */
  readonly all: boolean;
  readonly held: HeldVersions;
}

/** Resources of one type that go into one response. */
export interface LaneBatch {
  readonly resources: readonly WaypointResource[];
  readonly removed: readonly string[];
}

/** How a client has answered. */
export type Answer =
  | { readonly kind: 'stale' }
  | { readonly kind: 'acknowledged'; readonly seconds: number }
  /** Of the names what is refused is not known yet: they are sent anew in smaller groups. */
  | { readonly kind: 'doubted' | 'rejected'; readonly names: readonly string[]; readonly message: string };
