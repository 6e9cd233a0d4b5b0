import { z } from 'zod';
import { closed, documentOf, maybe, optionalObject, workloadSelector } from './common.ts';

const modes = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'] as const;

const mutualTls = closed({ mode: z.enum(modes, { error: `must be one of ${modes.join(', ')}` }).nullish() }).transform(
  (value): MutualTlsMode => value.mode ?? 'UNSET',
);

const portKey = z.string().refine((value) => /^[1-9]\d{0,4}$/.test(value) && Number(value) <= 65535, {
  error: 'must be a port number, 1 to 65535',
});

const spec = closed({
  selector: maybe(workloadSelector),
  mtls: maybe(mutualTls),
  portLevelMtls: maybe(z.record(portKey, mutualTls)),
}).refine(({ selector, portLevelMtls }) => portLevelMtls === null || hasLabels(selector), {
  error: 'needs spec.selector.matchLabels: ports are set per workload only',
  path: ['portLevelMtls'],
});

export const peerAuthenticationSchema = documentOf(optionalObject(spec));

export type MutualTlsMode = (typeof modes)[number];
export type PeerAuthenticationDocument = z.output<typeof peerAuthenticationSchema>;

function hasLabels(selector: { readonly matchLabels: Readonly<Record<string, string>> } | null): boolean {
  return selector !== null && Object.keys(selector.matchLabels).length > 0;
}
