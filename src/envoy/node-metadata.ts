/**
 * What an Envoy says of itself in `node.metadata`: `namespace/name` of the Gateway whose proxy it is. It only chooses among the
 * waypoints that the pod's certificate lets it have.
 */
export const waypointMetadata = 'AMBIT_WAYPOINT';
