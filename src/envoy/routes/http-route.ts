import type {
  HttpRouteBackend,
  HttpRouteDocument,
  HttpRouteMatch,
  HttpRouteRule,
} from '../../config/manifests/schemas/http-route.ts';
import { anyRequest, defaultRetries, noChanges } from '../http-rules.ts';
import type { ForwardAction, HttpAction, HttpMatch, HttpTarget, PathMatch, Retries } from '../http-rules.ts';
import { firstOfEach, readFilters } from './gateway-filters.ts';
import type { ReadFilters } from './gateway-filters.ts';
import type { Backends, RouteLookups } from './lookups.ts';
import { expressible } from './expressible.ts';
import type { Notes } from './notes.ts';
import type { ConvertedRoute, RankedRule } from './precedence.ts';
import { convertRoute, noteHostnames } from './route-conversion.ts';
import type { Conversion } from './route-conversion.ts';

export function convertHttpRoute(document: HttpRouteDocument, lookups: RouteLookups): ConvertedRoute {
  const { spec } = document;
  return convertRoute('HTTPRoute', document, lookups, (routeName, conversion) => {
    noteHostnames(document, conversion.notes);
    return spec.rules.flatMap((rule, index) =>
      new RuleConversion(rule, `spec.rules[${index}]`, conversion).run(`${routeName}/${rule.name ?? index}`),
    );
  });
}

class RuleConversion {
  readonly #rule: HttpRouteRule;
  readonly #field: string;
  readonly #notes: Notes;
  readonly #backends: Backends;

  constructor(rule: HttpRouteRule, field: string, { notes, backends }: Conversion) {
    this.#rule = rule;
    this.#field = field;
    this.#notes = notes;
    this.#backends = backends;
  }

  run(name: string): readonly RankedRule[] {
    if (this.#rule.sessionPersistence !== undefined) {
      this.#notes.unsupported(`${this.#field}.sessionPersistence`, 'it is not supported: requests go to any endpoint');
    }
    const filters = readFilters(this.#rule.filters, {
      field: `${this.#field}.filters`,
      backends: this.#backends,
      notes: this.#notes,
    });
    const action = this.#action(filters);
    const { requestHeaders, responseHeaders, cors } = filters;
    const matches = this.#rule.matches.length === 0 ? [null] : this.#rule.matches;
    return expressible(matches, matchOf, {
      field: `${this.#field}.matches`,
      path: 'path.value',
      notes: this.#notes,
    }).map(({ asked, match }) => ({
      rule: {
        name,
        match,
        action,
        requestHeaders,
        responseHeaders,
        fault: null,
        cors,
        statPrefix: null,
      },
      rank: rankOf(asked),
    }));
  }

  #action(filters: ReadFilters): HttpAction {
    if (filters.broken) return { kind: 'respond', status: 500, body: null };
    if (filters.redirect !== null) return filters.redirect;
    return this.#forward(filters);
  }

  #forward({ path, authority, mirrors }: ReadFilters): ForwardAction {
    const { backendRefs, timeouts, retry } = this.#rule;
    return {
      kind: 'forward',
      targets: backendRefs.map((backend, index) => this.#target(backend, `${this.#field}.backendRefs[${index}]`)),
      path,
      authority,
      timeout: orNone(timeouts?.request ?? null),
      retries: retriesOf(retry, orNone(timeouts?.backendRequest ?? null)),
      mirrors,
      missing: 500,
    };
  }

  #target(backend: HttpRouteBackend, field: string): HttpTarget {
    const destination = this.#backends.resolve(backend, field);
    const reading = { field: `${field}.filters`, backends: this.#backends, notes: this.#notes };
    const filters = readFilters(backend.filters, reading);
    const beyond = filters.mirrors.length > 0 || filters.redirect !== null || filters.path !== null;
    if (beyond || filters.authority !== null || filters.cors !== null) {
      this.#notes.unsupported(reading.field, 'of one backend only headers can be changed: its share is answered 500');
      return { destination: null, weight: backend.weight, requestHeaders: noChanges, responseHeaders: noChanges };
    }
    return {
      destination: filters.broken ? null : destination,
      weight: backend.weight,
      requestHeaders: filters.requestHeaders,
      responseHeaders: filters.responseHeaders,
    };
  }
}

/** Zero turns a time limit off. */
function orNone(time: number | null): number | null {
  return time === 0 ? null : time;
}

function retriesOf(retry: HttpRouteRule['retry'], perTryTimeout: number | null): Retries {
  if (retry === null) return { ...defaultRetries, perTryTimeout };
  return {
    ...defaultRetries,
    attempts: retry.attempts ?? defaultRetries.attempts,
    statuses: retry.codes,
    backoff: retry.backoff,
    perTryTimeout,
  };
}

function matchOf(asked: HttpRouteMatch | null): HttpMatch {
  if (asked === null) return anyRequest;
  const { method } = asked;
  return {
    ...anyRequest,
    path: pathOf(asked),
    method: method === null ? null : { kind: 'exact', value: method, ignoreCase: false },
    headers: firstOfEach(asked.headers, true),
    query: firstOfEach(asked.queryParams, false),
  };
}

function pathOf({ path }: HttpRouteMatch): PathMatch {
  if (path === null) return anyRequest.path;
  switch (path.type) {
    case 'Exact':
      return { kind: 'exact', value: path.value, ignoreCase: false };
    case 'PathPrefix':
      return { kind: 'segments', value: path.value };
    case 'RegularExpression':
      return { kind: 'regex', value: path.value };
  }
}

const pathRanks = { Exact: 3, RegularExpression: 2, PathPrefix: 1 } as const;

/** What the Gateway API leaves open is where regular expressions stand: between exact paths and prefixes. */
function rankOf(asked: HttpRouteMatch | null): readonly number[] {
  if (asked === null) return [pathRanks.PathPrefix, 1, 0, 0, 0];
  const { path, method, headers, queryParams } = asked;
  const length = path === null ? 1 : path.value.length;
  return [pathRanks[path?.type ?? 'PathPrefix'], length, method === null ? 0 : 1, headers.length, queryParams.length];
}
