import { z } from 'zod';
import { closed, documentOf, list, maybe, text } from './common.ts';
import { attachment, plainBackend } from './gateway-common.ts';

const rule = closed({ name: maybe(text), backendRefs: list(plainBackend) });
const rules = z.array(rule).min(1, { error: 'must have at least one rule' });

export const tcpRouteSchema = documentOf(closed({ ...attachment, rules }));

const serverName = text
  .transform((value) => value.toLowerCase())
  .refine((value) => /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value), {
    error: 'must be a DNS name, such as example.com, or one that begins with `*.`',
  });

export const tlsRouteSchema = documentOf(
  closed({
    ...attachment,
    hostnames: z.array(serverName).min(1, { error: 'must name at least one host' }),
    rules,
  }),
);

export type TcpRouteDocument = z.output<typeof tcpRouteSchema>;
export type TlsRouteDocument = z.output<typeof tlsRouteSchema>;
export type ConnectionRouteRule = z.output<typeof rule>;
