import type { RetryPolicySchema } from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { PreviousHostsPredicateSchema } from '../proto/gen/envoy-api/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.ts';
import { PreviousPrioritiesConfigSchema } from '../proto/gen/envoy-api/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.ts';
import type { Retries } from './http-rules.ts';
import { duration, typed } from './values.ts';
import type { Init } from './values.ts';

/** How often another host is looked for before the one that has failed is asked again. */
const hostAttempts = 5n;
/** Envoy refuses to wait for no time at all. */
const shortestBackoff = 1;

/** Attempts on one level before the next one has its turn; Istio's number. */
const attemptsOfPriority = 2;

const otherLocalities = typed('envoy.retry_priorities.previous_priorities', PreviousPrioritiesConfigSchema, {
  updateFrequency: attemptsOfPriority,
});

export function retryPolicy(retries: Retries): Init<typeof RetryPolicySchema> {
  const on = retries.statuses.length === 0 ? retries.on : [...new Set([...retries.on, 'retriable-status-codes'])];
  return {
    retryOn: on.join(','),
    numRetries: retries.attempts,
    retriableStatusCodes: [...retries.statuses],
    ...(retries.perTryTimeout === null ? {} : { perTryTimeout: duration(retries.perTryTimeout) }),
    ...(retries.backoff === null
      ? {}
      : { retryBackOff: { baseInterval: duration(Math.max(shortestBackoff, retries.backoff)) } }),
    ...(retries.otherHosts ? otherHosts() : {}),
    ...(retries.otherLocalities ? { retryPriority: otherLocalities } : {}),
  };
}

function otherHosts(): Pick<Init<typeof RetryPolicySchema>, 'retryHostPredicate' | 'hostSelectionRetryMaxAttempts'> {
  return {
    retryHostPredicate: [typed('envoy.retry_host_predicates.previous_hosts', PreviousHostsPredicateSchema)],
    hostSelectionRetryMaxAttempts: hostAttempts,
  };
}
