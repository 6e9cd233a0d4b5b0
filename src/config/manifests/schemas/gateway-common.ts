import { z } from 'zod';
import { parseDuration } from '../../durations.ts';
import { closed, lineText, list, maybe, namespaceName, portNumber, resourceName, text } from './common.ts';

/** Parts that the routes of the Gateway API share. What a route may ask and no waypoint does is read, so that it can be told. */

/** Hours, minutes, seconds and milliseconds in whole numbers, as `1m30s`; in milliseconds. */
export const gatewayDuration = text
  .refine((value) => /^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(value), {
    error: 'must be a duration such as 10s, 1m30s or 500ms, in whole numbers',
  })
  .transform((value): number => parseDuration(value) ?? 0);

export const headerName = text.refine((value) => /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/.test(value), {
  error: 'must be the name of a header',
});

const headerValue = lineText.refine((value) => value.length <= 4096, { error: 'must be at most 4096 characters' });

/** Of one host, without wildcards. */
export const preciseHostname = text.refine(
  (value) => value.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value),
  { error: 'must be the name of one host in lower case' },
);

/** Of a route: the name of one host, or `*.` and a domain. */
export const routeHostname = text
  .transform((value) => value.toLowerCase())
  .refine(
    (value) =>
      value.length <= 253 && /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value),
    { error: 'must be the name of one host, or `*.` and a domain' },
  );

const parentReference = closed({
  group: text.nullish().transform((value): string => value ?? 'gateway.networking.k8s.io'),
  kind: text.nullish().transform((value): string => value ?? 'Gateway'),
  namespace: maybe(namespaceName),
  name: resourceName,
  sectionName: maybe(text),
  port: maybe(portNumber),
});

const objectReference = {
  group: text.nullish().transform((value): string => value ?? ''),
  kind: text.nullish().transform((value): string => value ?? 'Service'),
  namespace: maybe(namespaceName),
  name: resourceName,
  port: maybe(portNumber),
};

export const backendObject = closed(objectReference);

const weight = z
  .int({ error: 'must be a whole number, 0 to 1000000' })
  .min(0)
  .max(1_000_000)
  .nullish()
  .transform((value): number => value ?? 1);

/** Of connections: nothing can be changed about them. */
export const plainBackend = closed({ ...objectReference, weight });

/** Envoy keeps the host apart from headers and refuses to change it as one. */
const changedHeader = headerName.refine((value) => value.toLowerCase() !== 'host', {
  error: 'must be another header than the host, which the filter URLRewrite changes',
});

const header = closed({ name: changedHeader, value: headerValue });

export const headerFilter = closed({ set: list(header), add: list(header), remove: list(changedHeader) });

const fraction = closed({
  numerator: z.int().min(0),
  denominator: z
    .int()
    .min(1)
    .nullish()
    .transform((value): number => value ?? 100),
}).refine(({ numerator, denominator }) => numerator <= denominator, { error: 'must not be more than the whole' });

export const mirrorFilter = closed({
  backendRef: backendObject,
  percent: maybe(z.int().min(0).max(100)),
  fraction: maybe(fraction),
}).refine(({ percent, fraction: part }) => percent === null || part === null, {
  error: 'cannot have both percent and fraction',
});

export const extensionReference = closed({ group: text, kind: text, name: text });

/** Of backends of requests, which have filters of their route's own kind besides. */
export const backendFields = { ...objectReference, weight };

const matchKinds = ['Exact', 'RegularExpression'] as const;

/** A value to be found: as it is written, or by a regular expression of RE2. */
export const valueMatch = closed({
  type: z
    .enum(matchKinds, { error: `must be ${matchKinds.join(' or ')}` })
    .nullish()
    .transform((value): (typeof matchKinds)[number] => value ?? 'Exact'),
  name: headerName,
  value: text.min(1).max(4096),
});

/** What is asked for where there is one, and of Envoy nothing. */
export const notHonoured = z.unknown().optional();

/** What every route says of where it belongs. */
export const attachment = { parentRefs: list(parentReference), useDefaultGateways: notHonoured };

export type ParentReference = z.output<typeof parentReference>;
export type BackendObject = z.output<typeof backendObject>;
export type PlainBackend = z.output<typeof plainBackend>;
export type HeaderFilter = z.output<typeof headerFilter>;
export type MirrorFilter = z.output<typeof mirrorFilter>;
export type ValueMatch = z.output<typeof valueMatch>;
