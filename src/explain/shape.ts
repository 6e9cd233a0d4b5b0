import { z } from 'zod';

/**
 * What one end, and the whole, of an explanation looks like. Schemas, because each is read from a peer that may be of
 * another version: what is added later is left out, what is missing is told.
 */

/** Where an end's facts come from: its own agent, or what the asked process holds of that node. */
const basis = z.enum(['agent', 'assumed']);

const pod = z.object({
  uid: z.string(),
  /** `namespace/name`. */
  name: z.string(),
  node: z.string(),
  identity: z.string(),
  /** The node's state has it as one of its own pods. */
  known: z.boolean(),
  /** Its labels say that it belongs to the mesh. */
  wanted: z.boolean(),
  /** The kernel hands its connections to an engine. */
  captured: z.boolean(),
  /** The engine serves it. */
  enrolled: z.boolean(),
  /** Its control plane tells its proxy where to send: a waypoint's or a gateway's. Agents of before gateways do not say. */
  proxied: z.boolean().default(false),
  lastError: z.string().nullable(),
});

/** Null where the node keeps none for the identity. */
const certificate = z
  .object({
    state: z.enum(['initializing', 'available', 'unavailable']),
    reason: z.string().nullable(),
    /** Milliseconds since the epoch. */
    notAfter: z.number().nullable(),
  })
  .nullable();

const condition = z.object({ resource: z.string(), type: z.string(), reason: z.string(), message: z.string() });

const candidate = z.object({
  /** `namespace/name`. */
  name: z.string(),
  node: z.string(),
  address: z.string().nullable(),
  port: z.number(),
  healthy: z.boolean(),
  /** How many of the service's leading scopes it shares with the source. */
  rank: z.number(),
  outcome: z.enum([
    'chosen',
    'out_of_scope',
    'unhealthy',
    'no_address',
    'unknown_port',
    'no_target_port',
    'unresolved_name',
  ]),
});

const wireReason = z.enum(['no_pod', 'other_node', 'setting', 'network_policy', 'not_wanted', 'not_enrolled']);

const endpoint = z.object({
  name: z.string(),
  workload: z.string(),
  podUid: z.string().nullable(),
  node: z.string(),
  address: z.string(),
  port: z.number(),
  transport: z.enum(['mutual_tls', 'node_local', 'plaintext']),
  /** Why it crosses a wire although both ends are of the mesh: what keeps the source from a join, or the endpoint. */
  wire: z.object({ end: z.enum(['source', 'destination']), reason: wireReason }).nullable(),
  /** SPIFFE ids of which the server must show one; none without TLS. */
  identities: z.array(z.string()),
  /** It is the pod of a waypoint, and asked for this; null for an endpoint itself. */
  authority: z.object({ address: z.string(), port: z.number() }).nullable(),
});

export const outboundSchema = z.object({
  end: z.literal('outbound'),
  basis,
  /** Its agent has to ask for the address first; what follows is what it will then be told. */
  fetched: z.boolean(),
  generation: z.number(),
  pod,
  certificate,
  destination: z.object({
    address: z.string(),
    port: z.number(),
    owner: z.enum(['workload', 'service', 'nobody', 'itself']),
    /** `namespace/name` of a workload, `namespace/hostname` of a service; empty for nobody's. */
    name: z.string(),
  }),
  sameNode: z.enum(['auto', 'local', 'tls']),
  /** Null unless a service was asked for. */
  loadBalancing: z.object({ mode: z.string(), scopes: z.array(z.string()), healthPolicy: z.string() }).nullable(),
  candidates: z.array(candidate),
  /** Candidates that are not shown. */
  omitted: z.number(),
  /**
   * `uncaptured`, `refused` and `itself` come before any decision is asked for; `unsettled`: its agent knows addresses on
   * demand, and not this one yet; the others are the decision's own.
   */
  action: z.enum(['connect', 'passthrough', 'deny', 'relay', 'uncaptured', 'refused', 'itself', 'unsettled']),
  reason: z.string().nullable(),
  endpoints: z.array(endpoint),
  /** How many there are, beside those that are shown. */
  endpointCount: z.number(),
  conditions: z.array(condition),
});

const lookedAt = z.object({
  /** `namespace/name`. */
  key: z.string(),
  /** The document that it is or was made of, such as `AuthorizationPolicy shop/only-web`. */
  document: z.string(),
  scope: z.enum(['global', 'namespace', 'workload-selector']),
  action: z.enum(['allow', 'deny']),
  dryRun: z.boolean(),
  /** Why it cannot be evaluated; it then denies. */
  malformed: z.string().nullable(),
  matches: z.boolean(),
  decides: z.boolean(),
  /** Why it matches or does not, rule by rule. */
  why: z.array(z.string()),
});

export const inboundSchema = z.object({
  end: z.literal('inbound'),
  basis,
  generation: z.number(),
  pod,
  certificate,
  question: z.object({
    peer: z.string().nullable(),
    source: z.string(),
    destination: z.string(),
    port: z.number(),
    transport: z.enum(['mutual_tls', 'node_local', 'plaintext']),
  }),
  /** `unguarded` and `refused` come before any decision is asked for; the others are the decision's own. */
  action: z.enum(['allow', 'deny', 'unguarded', 'refused']),
  reason: z.string().nullable(),
  /** `namespace/name` of the one that decided. */
  policy: z.string().nullable(),
  policies: z.array(lookedAt),
  /** Policies that are not shown. */
  omitted: z.number(),
  /** Keys that the workload names, and nobody has said yet what they mean. */
  unknown: z.array(z.string()),
  /** SPIFFE ids of the waypoints that it takes connections from; null where it takes those of everybody. */
  waypoints: z.array(z.string()).nullable(),
  /** Loopback port of the waypoint's proxy that gets the connection; null: it goes to what was asked for. */
  handover: z.number().nullable(),
  /** Whether it were allowed if the dry-run policies counted; null where there are none. */
  dryRunAllowed: z.boolean().nullable(),
  conditions: z.array(condition),
});

const verdict = z.object({
  /** `mixed`: it depends on the endpoint; `unknown`: an agent that would decide did not answer. */
  outcome: z.enum(['allowed', 'denied', 'refused', 'mixed', 'unknown']),
  text: z.string(),
});

/** One endpoint and what its own node says of the connection. */
const path = z.object({
  endpoint,
  /** Null where nobody of the mesh decides there. */
  inbound: inboundSchema.nullable(),
  /** Why the agent there did not answer; the inbound half is then assumed. */
  problem: z.string().nullable(),
  verdict,
});

export const explanationSchema = z.object({
  source: z.string(),
  destination: z.string(),
  /** What the destination's text was taken for. */
  meaning: z.string(),
  outbound: outboundSchema,
  /** Why the agent of the source did not answer; the outbound half is then assumed. */
  problem: z.string().nullable(),
  paths: z.array(path),
  conditions: z.array(condition),
  verdict,
});

export type Pod = z.infer<typeof pod>;
export type Certificate = z.infer<typeof certificate>;
export type Candidate = z.infer<typeof candidate>;
export type PathEndpoint = z.infer<typeof endpoint>;
export type Outbound = z.infer<typeof outboundSchema>;
export type LookedAt = z.infer<typeof lookedAt>;
export type Inbound = z.infer<typeof inboundSchema>;
export type Verdict = z.infer<typeof verdict>;
export type Path = z.infer<typeof path>;
export type Explanation = z.infer<typeof explanationSchema>;

export interface OutboundAsked {
  /** Pod UID. */
  readonly pod: string;
  /** Canonical text of an address. */
  readonly destination: string;
  readonly port: number;
}

export interface InboundAsked extends OutboundAsked {
  /** SPIFFE id that the client has proved; null for none. */
  readonly peer: string | null;
  readonly source: string;
  readonly transport: Inbound['question']['transport'];
}

/** What the agent of one end is asked. */
export type EndQuestion =
  | { readonly end: 'outbound'; readonly asked: OutboundAsked }
  | { readonly end: 'inbound'; readonly asked: InboundAsked };
