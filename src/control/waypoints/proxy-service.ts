import { tunnelPort } from '../../derive/waypoints/waypoint.ts';
import { readinessPort } from '../../envoy/bootstrap.ts';
import type { ReportedPort } from '../gateway-report.ts';
import type { GatewayObject } from './gateway-object.ts';
import type { GatewayRole } from './gateway-role.ts';
import { metadataOf, podSelector } from './object-metadata.ts';
import type { WaypointObject } from './object-metadata.ts';
import type { WantedProxy } from './wanted-proxy.ts';

const serviceTypeAnnotation = 'networking.istio.io/service-type';
const serviceTypes = ['ClusterIP', 'NodePort', 'LoadBalancer'];
const readiness = { name: 'status-port', port: readinessPort, targetPort: readinessPort, protocol: 'TCP' };
const mesh = { name: 'mesh', port: tunnelPort, targetPort: tunnelPort, protocol: 'TCP', appProtocol: 'hbone' };

export function serviceOf({ gateway, role, ports }: WantedProxy): WaypointObject {
  const type = serviceType(gateway, role);
  const common = { type, ipFamilyPolicy: 'PreferDualStack', selector: podSelector(gateway) };
  const [address] = gateway.spec.addresses;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(gateway, 'Service'),
    spec:
      role === 'waypoint'
        ? { ...common, trafficDistribution: 'PreferClose', ports: [readiness, mesh] }
        : {
            ...common,
            ...(type === 'LoadBalancer' && address?.value ? { loadBalancerIP: address.value } : {}),
            ports: [readiness, ...ports.flatMap(servicePorts)],
          },
  };
}

function serviceType({ metadata }: GatewayObject, role: GatewayRole): string {
  const type = metadata.annotations[serviceTypeAnnotation] ?? '';
  if (serviceTypes.includes(type)) return type;
  return role === 'waypoint' ? 'ClusterIP' : 'LoadBalancer';
}

/** The same numbers on the pods, which may listen on all of them. */
function servicePorts({ number, protocol, http3 }: ReportedPort): readonly object[] {
  const numbers = { port: number, targetPort: number };
  const tcp = { name: `${protocol}-${number}`, ...numbers, protocol: 'TCP', appProtocol: protocol };
  return http3 ? [tcp, { name: `http3-${number}`, ...numbers, protocol: 'UDP' }] : [tcp];
}
