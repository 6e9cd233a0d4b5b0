import type { KubeObject } from '../../kube/objects.ts';
import type { GatewayRole } from './gateway-role.ts';
import type { GatewayAddress } from './gateway-status.ts';

/**
 * Where clients find what is behind a Service: those of a waypoint by its name and addresses in the cluster, those of a gateway where a load
 * balancer is, unless it asks for none.
 */
export function addressesOf(service: KubeObject, role: GatewayRole, clusterDomain: string): readonly GatewayAddress[] {
  const { metadata, spec = {}, status = {} } = service as ServiceParts;
  const { name, namespace = '' } = metadata;
  const clusterIps = (spec.clusterIPs ?? []).filter((address) => address !== 'None').map(ipAddress);
  if (role === 'waypoint') return [hostname(`${name}.${namespace}.svc.${clusterDomain}`), ...clusterIps];
  if (spec.type !== 'LoadBalancer') return clusterIps;
  return (status.loadBalancer?.ingress ?? []).flatMap((ingress) => {
    if (ingress.ip) return [ipAddress(ingress.ip)];
    return ingress.hostname ? [hostname(ingress.hostname)] : [];
  });
}

interface ServiceParts extends KubeObject {
  readonly spec?: { readonly type?: string; readonly clusterIPs?: readonly string[] };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  };
}

function ipAddress(value: string): GatewayAddress {
  return { type: 'IPAddress', value };
}

function hostname(value: string): GatewayAddress {
  return { type: 'Hostname', value };
}
