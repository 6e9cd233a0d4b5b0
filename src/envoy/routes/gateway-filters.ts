import type { HeaderFilter, MirrorFilter, ValueMatch } from '../../config/manifests/schemas/gateway-common.ts';
import type { GatewayCors, HttpRouteFilter, PathModifier } from '../../config/manifests/schemas/http-route.ts';
import { noChanges } from '../http-rules.ts';
import type {
  CorsPolicy,
  HeaderChanges,
  Mirror,
  NamedMatch,
  PathChange,
  RedirectAction,
  TextMatch,
} from '../http-rules.ts';
import { expressibleOrigins } from './expressible.ts';
import type { Backends } from './lookups.ts';
import type { Notes } from './notes.ts';

/** What the filters of one rule come to. */
export interface ReadFilters {
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  readonly mirrors: readonly Mirror[];
  readonly redirect: RedirectAction | null;
  readonly path: PathChange | null;
  readonly authority: string | null;
  readonly cors: CorsPolicy | null;
  /** Something is asked for that cannot be done: answering as if it were would be wrong. */
  readonly broken: boolean;
}

const nothing: ReadFilters = {
  requestHeaders: noChanges,
  responseHeaders: noChanges,
  mirrors: [],
  redirect: null,
  path: null,
  authority: null,
  cors: null,
  broken: false,
};

interface Reading {
  readonly field: string;
  readonly backends: Backends;
  readonly notes: Notes;
}

export function readFilters(filters: readonly HttpRouteFilter[], reading: Reading): ReadFilters {
  const read = filters.reduce<ReadFilters>(
    (so, filter, index) => ({ ...so, ...readFilter(filter, so, { ...reading, field: `${reading.field}[${index}]` }) }),
    nothing,
  );
  if (read.redirect === null || (read.path === null && read.authority === null)) return read;
  reading.notes.add(
    'Accepted',
    'IncompatibleFilters',
    `${reading.field}: a rule redirects or rewrites, not both: it answers 500`,
  );
  return { ...read, broken: true };
}

function readFilter(filter: HttpRouteFilter, so: ReadFilters, reading: Reading): Partial<ReadFilters> {
  switch (filter.type) {
    case 'RequestHeaderModifier':
      return { requestHeaders: joined(so.requestHeaders, filter.requestHeaderModifier) };
    case 'ResponseHeaderModifier':
      return { responseHeaders: joined(so.responseHeaders, filter.responseHeaderModifier) };
    case 'RequestMirror':
      return { mirrors: [...so.mirrors, ...mirrorOf(filter.requestMirror, reading)] };
    case 'RequestRedirect': {
      const { scheme, hostname, port, path, statusCode: status } = filter.requestRedirect;
      return { redirect: { kind: 'redirect', scheme, host: hostname, port, path: pathChange(path), status } };
    }
    case 'URLRewrite':
      return { path: pathChange(filter.urlRewrite.path), authority: filter.urlRewrite.hostname };
    case 'CORS':
      return { cors: corsPolicy(filter.cors, reading) };
    case 'ExternalAuth':
    case 'ExtensionRef':
      reading.notes.unsupported(reading.field, `${filter.type} is not supported: what it filters is answered 500`);
      return { broken: true };
  }
}

export function joined(changes: HeaderChanges, { set, add, remove }: HeaderFilter): HeaderChanges {
  return {
    set: [...changes.set, ...set],
    add: [...changes.add, ...add],
    remove: [...changes.remove, ...remove],
  };
}

export function mirrorOf(
  { backendRef, percent, fraction }: MirrorFilter,
  { backends, field }: Reading,
): readonly Mirror[] {
  const destination = backends.resolve(backendRef, `${field}.requestMirror.backendRef`);
  if (destination === null) return [];
  const share = fraction === null ? (percent ?? 100) : (fraction.numerator / fraction.denominator) * 100;
  return [{ destination, percent: share }];
}

function pathChange(modifier: PathModifier | null): PathChange | null {
  if (modifier === null) return null;
  return modifier.type === 'ReplaceFullPath'
    ? { kind: 'full', value: modifier.replaceFullPath }
    : { kind: 'prefix', value: modifier.replacePrefixMatch };
}

function corsPolicy(cors: GatewayCors, { field, notes }: Reading): CorsPolicy {
  return {
    origins: expressibleOrigins(cors.allowOrigins.map(originMatch), `${field}.cors.allowOrigins`, notes),
    methods: cors.allowMethods,
    headers: cors.allowHeaders,
    exposed: cors.exposeHeaders,
    maximumAge: cors.maxAge,
    credentials: cors.allowCredentials ?? false,
    foreignPreflights: 'forward',
  };
}

/** `https://*.example.com`: the star stands for one label or more. */
function originMatch(origin: string): TextMatch {
  if (origin === '*') return { kind: 'present' };
  const parts = origin.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|/]/g, '\\$&'));
  if (parts.length === 1) return { kind: 'exact', value: origin, ignoreCase: false };
  return { kind: 'regex', value: parts.join('[A-Za-z0-9.-]+') };
}

export function namedMatch({ type, name, value }: ValueMatch): NamedMatch {
  return { name, value: type === 'Exact' ? { kind: 'exact', value, ignoreCase: false } : { kind: 'regex', value } };
}

/** Of several that name one header only the first counts, and case means nothing in the names of headers. */
export function firstOfEach(matches: readonly ValueMatch[], ignoreCase: boolean): readonly NamedMatch[] {
  const first = new Map<string, ValueMatch>();
  for (const match of matches) {
    const key = ignoreCase ? match.name.toLowerCase() : match.name;
    if (!first.has(key)) first.set(key, match);
  }
  return [...first.values()].map(namedMatch);
}
