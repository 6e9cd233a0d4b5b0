import type { Manifest } from '../../support/manifests.ts';
import { ports } from '../../support/envoy/echo/world.ts';

type Fields = Readonly<Record<string, unknown>>;

interface RouteOptions {
  readonly name?: string;
  /** The parent service; in the route's own namespace unless given. */
  readonly of?: string;
  readonly ofNamespace?: string;
  /** null: the whole service. */
  readonly port?: number | null;
}

function route(kind: string, space: string, rules: readonly Fields[], options: RouteOptions, port: number): Manifest {
  const { name = 'route', of = 'echo', ofNamespace } = options;
  const at = options.port === undefined ? port : options.port;
  const parent = {
    group: '',
    kind: 'Service',
    name: of,
    ...(ofNamespace === undefined ? {} : { namespace: ofNamespace }),
    ...(at === null ? {} : { port: at }),
  };
  const metadata = { name, namespace: space };
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind, metadata, spec: { parentRefs: [parent], rules } };
}

export function httpRoute(space: string, rules: readonly Fields[], options: RouteOptions = {}): Manifest {
  return route('HTTPRoute', space, rules, options, ports.http);
}

export function grpcRoute(space: string, rules: readonly Fields[], options: RouteOptions = {}): Manifest {
  return route('GRPCRoute', space, rules, options, ports.grpc);
}

/** A reference to one version. */
export function to(version: 'v1' | 'v2', fields: Fields = {}): Fields {
  return { name: `echo-${version}`, port: ports.otherHttp, ...fields };
}

export function toRpc(version: 'v1' | 'v2', fields: Fields = {}): Fields {
  return to(version, { port: ports.grpc, ...fields });
}

export function prefix(value: string): Fields {
  return { path: { type: 'PathPrefix', value } };
}

export function exact(value: string): Fields {
  return { path: { type: 'Exact', value } };
}

/** `name: value` pairs as the Gateway API writes them. */
export function pairs(values: Readonly<Record<string, string>>): readonly Fields[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

interface Changes {
  readonly set?: Readonly<Record<string, string>>;
  readonly add?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
}

function changes({ set = {}, add = {}, remove = [] }: Changes): Fields {
  return { set: pairs(set), add: pairs(add), remove };
}

export function requestHeaders(given: Changes): Fields {
  return { type: 'RequestHeaderModifier', requestHeaderModifier: changes(given) };
}

export function responseHeaders(given: Changes): Fields {
  return { type: 'ResponseHeaderModifier', responseHeaderModifier: changes(given) };
}

export function redirect(requestRedirect: Fields): Fields {
  return { type: 'RequestRedirect', requestRedirect };
}

export function fullPath(replaceFullPath: string): Fields {
  return { type: 'ReplaceFullPath', replaceFullPath };
}

export function prefixPath(replacePrefixMatch: string): Fields {
  return { type: 'ReplacePrefixMatch', replacePrefixMatch };
}

export function rewrite(urlRewrite: Fields): Fields {
  return { type: 'URLRewrite', urlRewrite };
}

export function mirror(backendRef: Fields, fields: Fields = {}): Fields {
  return { type: 'RequestMirror', requestMirror: { backendRef, ...fields } };
}

export function grant(space: string, from: string, kind: string, name?: string): Manifest {
  const target = { group: '', kind: 'Service', ...(name === undefined ? {} : { name }) };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1beta1',
    kind: 'ReferenceGrant',
    metadata: { name: `of-${from}`, namespace: space },
    spec: { from: [{ group: 'gateway.networking.k8s.io', kind, namespace: from }], to: [target] },
  };
}
