import { z } from 'zod';
import { canonicalAddress } from '../../../model/address.ts';
import { list, maybe, namespacedMetadata, optionalObject, portNumber, portOrName, text } from './common.ts';

const port = z.object({
  name: maybe(text),
  port: portNumber,
  targetPort: maybe(portOrName),
  protocol: text.nullish().transform((value): string => value ?? 'TCP'),
  appProtocol: maybe(text),
});

/** `None` marks a headless service, an empty text one whose address is not chosen yet. */
const clusterIp = text.refine((value) => value === '' || value === 'None' || canonicalAddress(value) !== null, {
  error: 'must be an IPv4 or IPv6 address, or None',
});

const spec = z.object({
  type: text.nullish().transform((value): string => value ?? 'ClusterIP'),
  clusterIP: maybe(clusterIp),
  clusterIPs: list(clusterIp),
  ports: list(port),
  selector: maybe(z.record(z.string(), text)),
  publishNotReadyAddresses: maybe(z.boolean()),
  internalTrafficPolicy: maybe(z.enum(['Cluster', 'Local'], { error: 'must be Cluster or Local' })),
  trafficDistribution: maybe(text),
  ipFamilies: list(z.enum(['IPv4', 'IPv6'], { error: 'must be IPv4 or IPv6' })),
  sessionAffinity: maybe(text),
  externalIPs: list(text),
});

export const serviceSchema = z.object({ metadata: namespacedMetadata, spec: optionalObject(spec) });

export type ServiceDocument = z.output<typeof serviceSchema>;
export type ServicePortDocument = z.output<typeof port>;
