import { Cluster_LbPolicy as Policy } from '../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type {
  Cluster_CommonLbConfigSchema,
  Cluster_SlowStartConfigSchema,
  ClusterSchema,
} from '../proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import type { Balancer, HashTable, TrafficPolicy, WarmUp } from './model.ts';
import { duration, given } from './values.ts';
import type { Init } from './values.ts';

type ClusterInit = Init<typeof ClusterSchema>;

/** How one endpoint of many is chosen. */
export function balancing({ balancer, locality, outliers }: TrafficPolicy): ClusterInit {
  const common: Init<typeof Cluster_CommonLbConfigSchema> = {
    // Below the share of healthy ones Envoy would send to the others too: only where that is asked for.
    healthyPanicThreshold: { value: outliers?.minimumHealthPercent ?? 0 },
    ...(locality.kind === 'weighted'
      ? { localityConfigSpecifier: { case: 'localityWeightedLbConfig', value: {} } }
      : {}),
  };
  return { commonLbConfig: common, ...chooser(balancer) };
}

function chooser(balancer: Balancer): ClusterInit {
  switch (balancer.kind) {
    case 'round-robin':
      return {
        lbPolicy: Policy.ROUND_ROBIN,
        ...given(balancer.warmUp, (warmUp) => ({
          lbConfig: { case: 'roundRobinLbConfig' as const, value: { slowStartConfig: slowStart(warmUp) } },
        })),
      };
    case 'least-request':
      return {
        lbPolicy: Policy.LEAST_REQUEST,
        ...given(balancer.warmUp, (warmUp) => ({
          lbConfig: { case: 'leastRequestLbConfig' as const, value: { slowStartConfig: slowStart(warmUp) } },
        })),
      };
    case 'random':
      return { lbPolicy: Policy.RANDOM };
    case 'passthrough':
      return { lbPolicy: Policy.CLUSTER_PROVIDED };
    case 'hash':
      return hashing(balancer.table);
  }
}

function hashing(table: HashTable): ClusterInit {
  if (table.kind === 'ring') {
    const value = { minimumRingSize: BigInt(table.minimumSize) };
    return { lbPolicy: Policy.RING_HASH, lbConfig: { case: 'ringHashLbConfig', value } };
  }
  const value = table.size === null ? {} : { tableSize: BigInt(table.size) };
  return { lbPolicy: Policy.MAGLEV, lbConfig: { case: 'maglevLbConfig', value } };
}

function slowStart({ duration: time, minimumPercent, aggression }: WarmUp): Init<typeof Cluster_SlowStartConfigSchema> {
  return {
    slowStartWindow: duration(time),
    ...given(minimumPercent, (value) => ({ minWeightPercent: { value } })),
    // A number in a message of its own, whose key for changes at run time Envoy wants to be there.
    ...given(aggression, (defaultValue) => ({
      aggression: { defaultValue, runtimeKey: 'ambit.slow_start.aggression' },
    })),
  };
}
