import type { GrpcRouteDocument, GrpcRouteMatch, GrpcRouteRule } from '../../config/manifests/schemas/grpc-route.ts';
import { anyRequest, defaultRetries } from '../http-rules.ts';
import type { HttpMatch, HttpTarget, PathMatch } from '../http-rules.ts';
import { escapeRegex } from '../values.ts';
import { expressible } from './expressible.ts';
import { firstOfEach, readFilters } from './gateway-filters.ts';
import type { RouteLookups } from './lookups.ts';
import type { ConvertedRoute, RankedRule } from './precedence.ts';
import { convertRoute, noteHostnames } from './route-conversion.ts';
import type { Conversion } from './route-conversion.ts';

export function convertGrpcRoute(document: GrpcRouteDocument, lookups: RouteLookups): ConvertedRoute {
  const { spec } = document;
  return convertRoute('GRPCRoute', document, lookups, (routeName, conversion) => {
    noteHostnames(document, conversion.notes);
    return spec.rules.flatMap((rule, index) =>
      convertRule(rule, `spec.rules[${index}]`, `${routeName}/${rule.name ?? index}`, conversion),
    );
  });
}

function convertRule(rule: GrpcRouteRule, field: string, name: string, conversion: Conversion): readonly RankedRule[] {
  if (rule.sessionPersistence !== undefined) {
    conversion.notes.unsupported(`${field}.sessionPersistence`, 'it is not supported: calls go to any endpoint');
  }
  const filters = readFilters(rule.filters, { field: `${field}.filters`, ...conversion });
  const targets = rule.backendRefs.map((backend, index) =>
    convertBackend(backend, `${field}.backendRefs[${index}]`, conversion),
  );
  const { requestHeaders, responseHeaders, mirrors } = filters;
  const action = {
    kind: 'forward' as const,
    // To gRPC a broken rule is a server that is not there.
    targets: filters.broken ? [] : targets,
    path: null,
    authority: null,
    timeout: null,
    retries: defaultRetries,
    mirrors,
    missing: 503 as const,
  };
  const matches = rule.matches.length === 0 ? [{ method: null, headers: [] }] : rule.matches;
  const reading = { field: `${field}.matches`, path: 'method', notes: conversion.notes };
  return expressible(matches, matchOf, reading).map(({ asked, match }) => ({
    rule: {
      name,
      match,
      action,
      requestHeaders,
      responseHeaders,
      fault: null,
      cors: null,
      statPrefix: null,
    },
    rank: [asked.method?.service?.length ?? 0, asked.method?.method?.length ?? 0, asked.headers.length],
  }));
}

function convertBackend(
  backend: GrpcRouteRule['backendRefs'][number],
  field: string,
  conversion: Conversion,
): HttpTarget {
  const filters = readFilters(backend.filters, { field: `${field}.filters`, ...conversion });
  const destination = conversion.backends.resolve(backend, field);
  const broken = filters.broken || filters.mirrors.length > 0;
  if (filters.mirrors.length > 0) {
    conversion.notes.unsupported(
      `${field}.filters`,
      'of one backend only headers can be changed: its share is refused',
    );
  }
  const { requestHeaders, responseHeaders } = filters;
  return { destination: broken ? null : destination, weight: backend.weight, requestHeaders, responseHeaders };
}

function matchOf(asked: GrpcRouteMatch): HttpMatch {
  return { ...anyRequest, path: pathOf(asked), headers: firstOfEach(asked.headers, true), grpc: true };
}

/** A call's path is `/package.Service/Method`. */
function pathOf({ method: asked }: GrpcRouteMatch): PathMatch {
  if (asked === null) return anyRequest.path;
  const { type, service, method } = asked;
  if (type === 'Exact' && service !== null) {
    const whole = method !== null;
    return { kind: whole ? 'exact' : 'prefix', value: `/${service}/${method ?? ''}`, ignoreCase: false };
  }
  const written = (text: string | null) => {
    if (text === null) return '[^/]+';
    return type === 'Exact' ? escapeRegex(text) : `(?:${text})`;
  };
  return { kind: 'regex', value: `/${written(service)}/${written(method)}` };
}
