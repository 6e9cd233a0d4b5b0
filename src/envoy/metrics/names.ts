/** Counters of Envoy that the agent makes others of, and the words of theirs that both sides know. */

/** Calls of gRPC by how many messages they had: the label says requests and responses, `3,1`. */
export const grpcCalls = 'ambit_grpc_calls';
export const messagesLabel = 'messages';

/** Requests and connections that policies name which only tell, by policy. */
export const dryRunDecisions = 'ambit_waypoint_dry_run_total';
export const auditDecisions = 'ambit_waypoint_audited_total';
