import type { MeshSettings } from '../../model/workload.ts';
import { sourceMetadata } from '../service-sources.ts';
import type { ServiceSource } from '../service-sources.ts';
import { gatewayNameLabel, servicePlace, tunnelPort } from './waypoint.ts';
import type { Waypoint } from './waypoint.ts';

/** The Service that whoever deploys a waypoint gives it, without an address: it finds the waypoint's pods by their label. */
export function waypointService({ name, namespace }: Waypoint, settings: MeshSettings): ServiceSource {
  return {
    kind: 'Gateway',
    metadata: sourceMetadata({ name, namespace, creationTimestamp: null }),
    selector: { [gatewayNameLabel]: name },
    ports: [{ port: tunnelPort, name: 'mesh', target: tunnelPort, targetName: null }],
    service: {
      name,
      namespace,
      hostname: servicePlace({ name, namespace }, settings).hostname,
      vips: [],
      ports: new Map([[tunnelPort, tunnelPort]]),
      appProtocols: new Map(),
      subjectAltNames: [],
      loadBalancing: { mode: 'standard', scopes: [], healthPolicy: 'only-healthy' },
      ipFamilies: 'automatic',
      visibility: 'public',
      canonical: true,
      waypoint: null,
    },
  };
}
