import { defaultHttpSettings } from '../../envoy/model.ts';
import type { WaypointInput } from '../../envoy/model.ts';

/** A part of a waypoint is built from this and what it is made of, so that a change builds that part alone. */
export const emptyWaypoint: WaypointInput = {
  services: [],
  workloads: [],
  destinations: [],
  locality: { region: '', zone: '', subzone: '' },
  forbiddenAddresses: new Set(),
  http: defaultHttpSettings,
};
