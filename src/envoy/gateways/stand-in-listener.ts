import { create, equals } from '@bufbuild/protobuf';
import { FilterChainSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { FilterChain } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';

/**
 * Stands in for a gateway's listener that Envoy refuses: chains that it has taken before stay, for they are of others who have done
 * nothing; those that are new or other than they were are closed, for what was asked there before is not what shall be.
 *
 * @param before the listener as it was taken last; null: nobody knows any
 */
export function withKnownChains(listener: Listener, before: Listener | null): Listener {
  const known = new Map((before?.filterChains ?? []).map((chain) => [chain.name, chain]));
  const isKnown = (chain: FilterChain): boolean => {
    const former = known.get(chain.name);
    return former !== undefined && equals(FilterChainSchema, former, chain);
  };
  // Over QUIC each chain needs a certificate; a name of none leads nowhere as well.
  const instead = ({ name }: FilterChain): FilterChain[] =>
    listener.udpListenerConfig === undefined ? [create(FilterChainSchema, { name })] : [];
  const filterChains = listener.filterChains.flatMap((chain) => (isKnown(chain) ? [chain] : instead(chain)));
  return create(ListenerSchema, { ...listener, filterChains });
}
