import type { z } from 'zod';

import { defaultTrafficPolicy } from '../../../src/envoy/model.ts';
import type { BoundPort, Destination, WaypointInput } from '../../../src/envoy/model.ts';
import type { KnownService, RouteLookups } from '../../../src/envoy/routes/lookups.ts';
import { destination, endpoint, hostOf, input, service } from './inputs.ts';

/** A manifest's spec read by its schema, as a document that is there. */
export function read<Schema extends z.ZodType>(
  schema: Schema,
  spec: unknown,
  metadata: Readonly<Record<string, unknown>> = {},
): z.output<Schema> {
  const apiVersion = 'example.com/v1';
  return schema.parse({
    apiVersion,
    kind: 'Kind',
    metadata: { name: 'route', namespace: 'default', ...metadata },
    spec,
  });
}

/** A mesh whose services have the ports; those of other namespaces are written `namespace/name`. */
export function lookups(services: Readonly<Record<string, readonly number[]>>, granted = false): RouteLookups {
  const known = new Map(
    Object.entries(services).map(([written, ports]): [string, KnownService] => {
      const [namespace, name] = written.includes('/') ? written.split('/') : ['default', written];
      const hostname = `${name ?? ''}.${namespace ?? ''}.svc.cluster.local`;
      const service = { kind: 'Service' as const, name: name ?? '', namespace: namespace ?? '', hostname };
      const namedPorts = new Map(ports.map((port) => [`port-${port}`, port]));
      return [hostname, { ...service, ports: new Set(ports), namedPorts }];
    }),
  );
  const isGranted = (): boolean => granted;
  return {
    clusterDomain: 'cluster.local',
    service: (hostname) => known.get(hostname),
    granted: isGranted,
    permitted: isGranted,
    virtualService: () => undefined,
  };
}

/** A waypoint of one service `web` with the port, and endpoints for it and for others. */
export function waypointOf(port: BoundPort, others: readonly string[] = [], at = 8080): WaypointInput {
  return input({
    services: [service('web', '10.96.0.1', port)],
    destinations: ['web', ...others].map((name): Destination => ({
      ...destination(name, port.number, port.protocol, [endpoint('10.0.0.1', at)]),
      hostname: hostOf(name),
      policy: defaultTrafficPolicy,
    })),
  });
}
