import { z } from 'zod';
import { parseCidr } from '../../../model/address.ts';
import { closed, list, maybe, namespacedMetadata, optionalObject, portNumber, stringMap, text } from './common.ts';
import { endpointSpec } from './endpoint.ts';

const locations = ['MESH_EXTERNAL', 'MESH_INTERNAL'] as const;
const resolutions = ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'] as const;

const label = '[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?';
const hostPattern = new RegExp(`^(\\*|(\\*\\.)?${label}(\\.${label})*)$`);

/** Case means nothing in DNS, so one host has one spelling here. */
const host = text
  .transform((value) => value.toLowerCase())
  .refine((value) => value.length <= 253 && hostPattern.test(value), {
    error: 'must be a DNS name, such as example.com, or one that begins with `*.`',
  });

const address = text.refine((value) => parseCidr(value) !== null, {
  error: 'must be an IPv4 or IPv6 address, or a CIDR block',
});

const port = closed({
  number: portNumber,
  name: maybe(text),
  protocol: text.nullish().transform((value): string => value ?? ''),
  targetPort: maybe(portNumber),
});

const spec = closed({
  hosts: z.array(host, { error: 'must be a list of DNS names' }).min(1, { error: 'must name at least one host' }),
  addresses: list(address),
  ports: list(port),
  location: z
    .enum(locations, { error: `must be one of ${locations.join(', ')}` })
    .nullish()
    .transform((value) => value ?? 'MESH_EXTERNAL'),
  resolution: z
    .enum(resolutions, { error: `must be one of ${resolutions.join(', ')}` })
    .nullish()
    .transform((value) => value ?? 'NONE'),
  endpoints: list(endpointSpec),
  workloadSelector: maybe(closed({ labels: stringMap })),
  exportTo: list(text),
  subjectAltNames: list(text.min(1)),
}).refine(({ endpoints, workloadSelector }) => endpoints.length === 0 || workloadSelector === null, {
  error: 'cannot stand beside workloadSelector: endpoints are written down, or selected',
  path: ['endpoints'],
});

/** Addresses that a control plane has chosen, each for one host. */
const status = z.object({ addresses: list(z.object({ value: text, host: maybe(text) })) });

export const serviceEntrySchema = closed({
  apiVersion: text,
  kind: text,
  metadata: namespacedMetadata,
  spec,
  status: optionalObject(status),
});

export type ServiceEntryDocument = z.output<typeof serviceEntrySchema>;
export type ServiceEntryPortDocument = z.output<typeof port>;
