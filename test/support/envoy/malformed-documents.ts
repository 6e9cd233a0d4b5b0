import type { Manifest } from '../manifests.ts';
import { document } from '../waypoint-mesh.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A document that asks for what cannot be, or for two things at once, and what has to be said of it. */
export interface MalformedDocument {
  readonly what: string;
  /** Of the service that it is for, which nothing else is for. */
  readonly manifest: (service: string) => Manifest;
  /** In a condition of it; null: it is honoured as far as it goes, and nothing has to be said. */
  readonly told: RegExp | null;
  /** Nobody but Envoy can tell: it refuses what is made of it, and that alone. */
  readonly onlyEnvoyKnows?: boolean;
}

const namespace = 'shop';
const long = 'x'.repeat(5000);
const noPattern = /is no pattern that a waypoint can use/;

function route(kind: 'HTTPRoute' | 'GRPCRoute', what: string, rule: Fields, told: RegExp | null): MalformedDocument {
  return {
    what: `${kind}: ${what}`,
    manifest: (service) =>
      document('gateway.networking.k8s.io/v1', kind, namespace, service, {
        parentRefs: [{ group: '', kind: 'Service', name: service }],
        rules: [{ backendRefs: [{ name: service, port: 80 }], ...rule }],
      }),
    told,
  };
}

const http = (what: string, rule: Fields, told: RegExp | null) => route('HTTPRoute', what, rule, told);
const grpc = (what: string, rule: Fields, told: RegExp | null) => route('GRPCRoute', what, rule, told);
const byPath = (value: string): Fields => ({ matches: [{ path: { type: 'RegularExpression', value } }] });
const filtered = (type: string, field: string, value: Fields): Fields => ({ filters: [{ type, [field]: value }] });

const httpRoutes = [
  http('look-around', byPath('/(?=a)b'), noPattern),
  http('a possessive quantifier', byPath('/a++'), noPattern),
  http('a back-reference', byPath('/(a)\\1'), noPattern),
  http('too many repetitions', byPath('/a{1001}'), noPattern),
  http('repetitions of repetitions', byPath('/(?:[a-z]{100}){11}'), noPattern),
  http('a program without bounds', byPath(`/(?:${'[^/]'.repeat(200)}){100}`), noPattern),
  http('a character that is no byte', byPath('/\\x{20ac}'), noPattern),
  http('a script', byPath('/\\p{Garay}'), noPattern),
  http('an empty pattern', byPath(''), noPattern),
  http('half a pattern', { matches: [{ headers: [{ type: 'RegularExpression', name: 'x', value: '(' }] }] }, noPattern),
  http(
    'a bad range',
    { matches: [{ queryParams: [{ type: 'RegularExpression', name: 'x', value: '[z-a]' }] }] },
    noPattern,
  ),
  http(
    'a long pattern',
    { matches: [{ headers: [{ type: 'RegularExpression', name: 'x', value: 'x'.repeat(4000) }] }] },
    noPattern,
  ),
  http('a host of two lines', filtered('RequestRedirect', 'requestRedirect', { hostname: 'a\r\nb' }), /./),
  http('a host that is rewritten to two lines', filtered('URLRewrite', 'urlRewrite', { hostname: 'a\r\nb' }), /./),
  http(
    'a path of two lines',
    filtered('URLRewrite', 'urlRewrite', { path: { type: 'ReplaceFullPath', replaceFullPath: '/a\r\nb' } }),
    /./,
  ),
  http(
    'a prefix of two lines',
    filtered('URLRewrite', 'urlRewrite', { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/a\r\nb' } }),
    /./,
  ),
  http(
    'a redirection to two lines',
    filtered('RequestRedirect', 'requestRedirect', { path: { type: 'ReplaceFullPath', replaceFullPath: '/a\r\nb' } }),
    /./,
  ),
  http(
    'a control character',
    filtered('RequestHeaderModifier', 'requestHeaderModifier', { set: [{ name: 'x', value: 'a\u0001' }] }),
    /./,
  ),
  http(
    'a command of Envoy',
    filtered('RequestHeaderModifier', 'requestHeaderModifier', { set: [{ name: 'x', value: '%NO(' }] }),
    null,
  ),
  http(
    'a redirection that rewrites',
    {
      filters: [
        { type: 'RequestRedirect', requestRedirect: {} },
        { type: 'URLRewrite', urlRewrite: { hostname: 'a' } },
      ],
    },
    /redirects or rewrites/,
  ),
  http('methods of two lines', filtered('CORS', 'cors', { allowOrigins: ['*'], allowMethods: ['a\r\nb'] }), null),
  http('an origin without end', filtered('CORS', 'cors', { allowOrigins: [`https://*.${long}`] }), noPattern),
  http('more attempts than there are numbers', { retry: { attempts: 5_000_000_000 } }, /./),
  http('a backend of nobody', { backendRefs: [{ name: 'nobody', port: 80 }] }, /nobody/),
  http('weights of nothing', { backendRefs: [{ name: 'web', port: 80, weight: 0 }] }, null),
  http('a filter of nobody', { filters: [{ type: 'Nobody' }] }, /./),
  http('a field of nobody', { nobody: true }, /./),
  http('a name of two lines', { name: 'a\nb' }, null),
] as const;

const grpcRoutes = [
  grpc(
    'quotes without end',
    { matches: [{ method: { type: 'RegularExpression', service: '\\Qa', method: 'b' } }] },
    noPattern,
  ),
  grpc('brackets across', { matches: [{ method: { type: 'RegularExpression', service: 'a)(b', method: 'c' } }] }, null),
  grpc('a bad method', { matches: [{ method: { type: 'RegularExpression', method: '*' } }] }, noPattern),
  grpc(
    'a bad header',
    { matches: [{ headers: [{ type: 'RegularExpression', name: 'x', value: '(?!a)' }] }] },
    noPattern,
  ),
] as const;

function istio(kind: string, what: string, spec: (service: string) => Fields, told: RegExp | null): MalformedDocument {
  const version = kind === 'AuthorizationPolicy' || kind === 'RequestAuthentication' ? 'security' : 'networking';
  const manifest = (service: string): Manifest =>
    document(`${version}.istio.io/v1`, kind, namespace, service, spec(service));
  return { what: `${kind}: ${what}`, manifest, told };
}

function virtual(what: string, rule: Fields, told: RegExp | null): MalformedDocument {
  return istio(
    'VirtualService',
    what,
    (host) => ({ hosts: [host], http: [{ route: [{ destination: { host } }], ...rule }] }),
    told,
  );
}

function virtualMatch(what: string, match: Fields, told: RegExp | null): MalformedDocument {
  return virtual(what, { match: [match] }, told);
}

const direct = (what: string, body: string, told: RegExp | null): MalformedDocument =>
  virtual(what, { route: [], directResponse: { status: 200, body: { string: body } } }, told);

const virtualServices = [
  virtualMatch('a bad path', { uri: { regex: '(?<!a)b' } }, noPattern),
  virtualMatch('an empty path', { uri: { regex: '' } }, noPattern),
  virtualMatch('a bad header that must not be', { withoutHeaders: { x: { regex: '(' } } }, noPattern),
  virtualMatch('a bad method', { method: { regex: '\\8' } }, noPattern),
  virtualMatch('a bad host', { authority: { regex: 'a**' } }, noPattern),
  virtualMatch('labels without end', { sourceLabels: { app: long } }, /must be labels/),
  virtualMatch('a header with a space', { headers: { 'a b': { exact: 'x' } } }, /./),
  virtualMatch('a header without a name', { headers: { '': { exact: 'x' } } }, /./),
  virtualMatch('a parameter without a name', { queryParams: { '': { exact: 'x' } } }, /./),
  virtualMatch('two ways at once', { uri: { exact: '/a', regex: '/b' } }, /./),
  virtualMatch('a prefix of nothing', { uri: { prefix: '' } }, null),
  virtualMatch('an exact path of nothing', { uri: { exact: '' } }, null),
  virtualMatch('statistics of nothing', { statPrefix: '' }, null),
  virtual('a bad rewriting', { rewrite: { uriRegexRewrite: { match: '(', rewrite: '/' } } }, /answered 500/),
  virtual('a group of nobody', { rewrite: { uriRegexRewrite: { match: '(a)', rewrite: '/\\2' } } }, /answered 500/),
  virtual('a rewriting to two lines', { rewrite: { uriRegexRewrite: { match: '(a)', rewrite: 'a\r\nb' } } }, /./),
  virtual('a path of two lines', { rewrite: { uri: '/a\r\nb' } }, /./),
  virtual('a host of two lines', { rewrite: { authority: 'a\r\nb' } }, /./),
  virtual('a redirection to two lines', { route: [], redirect: { uri: '/a\r\nb' } }, /./),
  virtual('a redirection to a host of two lines', { route: [], redirect: { authority: 'a\r\nb' } }, /./),
  direct('a long body', long, null),
  direct('a body without end', long.repeat(250), /./),
  virtual('no delay', { fault: { delay: { fixedDelay: '0s', percentage: { value: 1 } } } }, null),
  virtual('a status of nobody', { fault: { abort: { grpcStatus: 'NOBODY' } } }, /NOBODY/),
  virtual('a bad origin', { corsPolicy: { allowOrigins: [{ regex: '(' }] } }, noPattern),
  virtual('no backoff', { retries: { attempts: 1, backoff: '1us' } }, null),
  virtual('no time to try', { retries: { attempts: 4_294_967_295, perTryTimeout: '1us' } }, null),
  virtual('a time without end', { timeout: '9999999999999999h' }, /./),
  virtual('a time of a thousand years', { timeout: '9999999h' }, null),
  virtual('a header of the protocol', { headers: { request: { set: { ':path': 'x' } } } }, /:path/),
  virtual('a control character', { headers: { request: { set: { x: 'a\u0001' } } } }, /./),
  virtual('a header that is taken away and none', { headers: { request: { remove: ['a b'] } } }, /./),
  virtual('a subset of nobody', { route: [{ destination: { host: 'web', subset: 'nobody' } }] }, null),
  virtual('a mirror of nobody', { mirror: { host: 'nobody' } }, /nobody/),
  virtual(
    'weights of nothing',
    {
      route: [
        { destination: { host: 'web' }, weight: 0 },
        { destination: { host: 'web' }, weight: 0 },
      ],
    },
    null,
  ),
  virtual('an answer and a way', { directResponse: { status: 200 } }, /./),
  istio(
    'VirtualService',
    'a network of nobody',
    (host) => ({
      hosts: [host],
      tcp: [{ match: [{ destinationSubnets: ['nonsense'] }], route: [{ destination: { host } }] }],
    }),
    /./,
  ),
] as const;

function rule(what: string, trafficPolicy: Fields, told: RegExp | null): MalformedDocument {
  return istio('DestinationRule', what, (host) => ({ host, trafficPolicy }), told);
}

const hashed = (fields: Fields): Fields => ({ loadBalancer: { consistentHash: fields } });

const destinationRules = [
  rule('no time to connect', { connectionPool: { tcp: { connectTimeout: '0s' } } }, null),
  rule('a time without end', { connectionPool: { tcp: { connectTimeout: '9999999999999999h' } } }, /./),
  rule('a time of a thousand years', { connectionPool: { tcp: { connectTimeout: '9999999h' } } }, null),
  rule('a ring of billions', hashed({ useSourceIp: true, ringHash: { minimumRingSize: 4_000_000_000 } }), /./),
  rule('a table of no prime', hashed({ useSourceIp: true, maglev: { tableSize: 4 } }), /./),
  rule('a table of billions', hashed({ useSourceIp: true, maglev: { tableSize: 4_000_000_007 } }), /./),
  rule('a header with a space', hashed({ httpHeaderName: 'a b' }), /./),
  rule('a cookie of two lines', hashed({ httpCookie: { name: 'a\r\nb', path: '/\r\n' } }), null),
  rule('two keys', hashed({ useSourceIp: true, httpHeaderName: 'a' }), /./),
  rule('no time between looks', { outlierDetection: { interval: '0s', baseEjectionTime: '0s' } }, null),
  rule('no streams', { connectionPool: { http: { maxConcurrentStreams: 0, maxRequestsPerConnection: 0 } } }, null),
  {
    ...rule('a file of nobody', { tls: { mode: 'SIMPLE', caCertificates: '/nobody' } }, /Invalid path: \/nobody/),
    onlyEnvoyKnows: true,
  },
  rule(
    'shares of nothing',
    { loadBalancer: { localityLbSetting: { distribute: [{ from: 'a/*', to: { 'b/*': 0 } }] } }, outlierDetection: {} },
    null,
  ),
  rule('no time to warm up', { loadBalancer: { simple: 'ROUND_ROBIN', warmupDurationSecs: '0s' } }, null),
  rule('no keepalive', { connectionPool: { tcp: { tcpKeepalive: { probes: 0, time: '0s', interval: '0s' } } } }, null),
  istio(
    'DestinationRule',
    'two subsets of one name',
    (host) => ({
      host,
      subsets: [
        { name: 'a', labels: {} },
        { name: 'a', labels: { b: 'c' } },
      ],
    }),
    null,
  ),
] as const;

const targets = (service: string): Fields => ({ targetRefs: [{ group: '', kind: 'Service', name: service }] });

function policy(what: string, rules: readonly unknown[], told: RegExp | null, fields: Fields = {}): MalformedDocument {
  return istio('AuthorizationPolicy', what, (service) => ({ ...targets(service), rules, ...fields }), told);
}

const to = (operation: Fields): readonly unknown[] => [{ to: [{ operation }] }];
const when = (key: string): readonly unknown[] => [{ when: [{ key, values: ['x'] }] }];

const policies = [
  policy('half a template', to({ paths: ['/{*}x'] }), /no path, pattern or template/),
  policy('a template without end', to({ paths: [`/{*}/${long}`] }), /longer than/),
  policy('a host without end', to({ hosts: [long] }), /longer than/),
  policy('a namespace without end', [{ from: [{ source: { namespaces: [long] } }] }], /longer than/),
  policy(
    'an account without end',
    [{ from: [{ source: { notServiceAccounts: [long.toLowerCase()] } }] }],
    /longer than/,
    { action: 'DENY' },
  ),
  policy('a key of nobody', when('request.auth.nobody'), /no key that a waypoint knows/),
  policy('a header with a space', when('request.headers[a b]'), /no key that a waypoint knows/),
  policy('nobody to ask', to({ methods: ['GET'] }), /nobody/, { action: 'CUSTOM', provider: { name: 'nobody' } }),
  policy('a method of two lines', to({ methods: ['a\r\nb'] }), null),
  policy('what cannot be', [{ to: [{ operation: { methods: ['GET'], notMethods: ['GET'] } }] }], null),
  istio(
    'AuthorizationPolicy',
    'a target of nobody',
    () => ({ targetRefs: [{ group: '', kind: 'Nobody', name: 'x' }] }),
    /Nobody/,
  ),
] as const;

function tokens(what: string, fields: Fields, told: RegExp | null): MalformedDocument {
  const jwtRule = { issuer: 'https://idp.example.com', jwks: goodKeys, ...fields };
  return istio('RequestAuthentication', what, (service) => ({ ...targets(service), jwtRules: [jwtRule] }), told);
}

const keySet = (...keys: readonly unknown[]): string => JSON.stringify({ keys });
const curve = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
};
const goodKeys = keySet(curve);

const authentications = [
  tokens('no JSON', { jwks: '{' }, /no JSON Web Key Set/),
  tokens('no keys', { jwks: '{"keys":[]}' }, /no JSON Web Key Set/),
  tokens('a key of nobody', { jwks: keySet({ kty: 'nobody' }) }, /no key that a waypoint can use/),
  tokens('a point beside the curve', { jwks: keySet({ ...curve, y: curve.x }) }, /no point of P-256/),
  tokens('a key for another algorithm', { jwks: keySet({ ...curve, alg: 'RS256' }) }, /for RS256/),
  tokens('a key of RSA that is none', { jwks: keySet({ kty: 'RSA', n: 'AQAB', e: 'AQAB' }) }, /no RSA key/),
  tokens('a bad exponent', { jwks: keySet({ kty: 'RSA', n: 'AQAB', e: 'AQ' }) }, /another e/),
  tokens('a secret of nothing', { jwks: keySet({ kty: 'oct', k: '' }) }, /no k/),
  tokens('a name of half a character', { jwks: keySet({ ...curve, kid: '\ud800' }) }, /no short text/),
  tokens('one bad key among good ones', { jwks: keySet(curve, { kty: 'nobody' }) }, /key 1 is of no kind/),
  tokens('a header of two lines', { fromHeaders: [{ name: 'x', prefix: 'a\r\nb' }] }, /./),
  tokens('a parameter with a space', { fromParams: ['a b'], fromCookies: ['a b'] }, null),
  tokens('a claim of nobody', { outputClaimToHeaders: [{ header: 'x', claim: 'a.b..c' }] }, null),
  tokens('an issuer of nobody', { issuer: 'nobody', jwks: null }, /would say where its keys are/),
  istio(
    'RequestAuthentication',
    'one issuer twice',
    (service) => ({
      ...targets(service),
      jwtRules: [
        { issuer: 'a', jwks: goodKeys },
        { issuer: 'a', jwks: goodKeys },
      ],
    }),
    null,
  ),
] as const;

function limits(what: string, spec: (service: string) => Fields, told: RegExp | null): MalformedDocument {
  const manifest = (service: string): Manifest =>
    document('ambit.dev/v1alpha1', 'RateLimitPolicy', namespace, service, spec(service));
  return { what: `RateLimitPolicy: ${what}`, manifest, told };
}

const limit = { requests: 1, interval: '1s' };

const limitPolicies = [
  limits(
    'one target twice',
    (service) => ({
      targetRefs: [...(targets(service)['targetRefs'] as []), ...(targets(service)['targetRefs'] as [])],
      limits: [limit],
    }),
    null,
  ),
  limits('one limit twice', (service) => ({ ...targets(service), limits: [limit, limit] }), null),
  limits(
    'all that can be',
    (service) => ({ ...targets(service), limits: [{ requests: 4_294_967_295, interval: '50ms', burst: 1 }] }),
    null,
  ),
  limits(
    'an odd interval',
    (service) => ({ ...targets(service), limits: [{ requests: 3, interval: '1.0007s', per: 'Client' }] }),
    null,
  ),
  limits(
    'a target of nobody',
    () => ({ targetRefs: [{ group: '', kind: 'Nobody', name: 'x' }], limits: [limit] }),
    /Nobody/,
  ),
  limits('no requests', (service) => ({ ...targets(service), limits: [{ requests: 0, interval: '1s' }] }), /./),
] as const;

export const malformedDocuments: readonly MalformedDocument[] = [
  ...httpRoutes,
  ...grpcRoutes,
  ...virtualServices,
  ...destinationRules,
  ...policies,
  ...authentications,
  ...limitPolicies,
];
