import { z } from 'zod';
import { closed, documentOf, list, maybe, text } from './common.ts';
import {
  attachment,
  backendFields,
  extensionReference,
  headerFilter,
  mirrorFilter,
  notHonoured,
  routeHostname,
  valueMatch,
} from './gateway-common.ts';

const method = closed({
  type: z
    .enum(['Exact', 'RegularExpression'], { error: 'must be Exact or RegularExpression' })
    .nullish()
    .transform((value) => value ?? 'Exact'),
  service: maybe(text.min(1).max(1024)),
  method: maybe(text.min(1).max(1024)),
})
  .refine((value) => value.service !== null || value.method !== null, { error: 'must name a service or a method' })
  .refine((value) => value.type !== 'Exact' || (isServiceName(value.service) && isMethodName(value.method)), {
    error: 'must be names of gRPC: a service such as package.Service, a method such as Method',
  });

const filter = z.discriminatedUnion('type', [
  closed({ type: z.literal('RequestHeaderModifier'), requestHeaderModifier: headerFilter }),
  closed({ type: z.literal('ResponseHeaderModifier'), responseHeaderModifier: headerFilter }),
  closed({ type: z.literal('RequestMirror'), requestMirror: mirrorFilter }),
  closed({ type: z.literal('ExtensionRef'), extensionRef: extensionReference }),
]);

const match = closed({ method: maybe(method), headers: list(valueMatch) });

const rule = closed({
  name: maybe(text),
  matches: list(match),
  filters: list(filter),
  backendRefs: list(closed({ ...backendFields, filters: list(filter) })),
  sessionPersistence: notHonoured,
});

export const grpcRouteSchema = documentOf(
  closed({
    ...attachment,
    hostnames: list(routeHostname),
    rules: z
      .array(rule)
      .nullish()
      .transform((value): GrpcRouteRule[] => value ?? [rule.parse({})]),
  }),
);

export type GrpcRouteDocument = z.output<typeof grpcRouteSchema>;
export type GrpcRouteRule = z.output<typeof rule>;
export type GrpcRouteMatch = z.output<typeof match>;

function isServiceName(name: string | null): boolean {
  return name === null || /^[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$/.test(name);
}

function isMethodName(name: string | null): boolean {
  return name === null || /^[A-Za-z_][A-Za-z_0-9]*$/.test(name);
}
