import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';

import { authorizationPolicySchema } from '../../../src/config/manifests/schemas/authorization-policy.ts';
import { extensionProvider } from '../../../src/config/manifests/schemas/extension-providers.ts';
import { rateLimitPolicySchema } from '../../../src/config/manifests/schemas/rate-limit-policy.ts';
import { requestAuthenticationSchema } from '../../../src/config/manifests/schemas/request-authentication.ts';
import type { WaypointInput } from '../../../src/envoy/model.ts';
import { externalAuthorizers } from '../../../src/envoy/security/external-authorizers.ts';
import type { SecurityPart } from '../../../src/envoy/security/part.ts';
import { assertGolden } from '../../support/envoy/goldens.ts';
import { destination, endpoint, input, port, rule, service } from '../../support/envoy/inputs.ts';
import {
  authentication,
  ofWeb,
  policy,
  rateLimits,
  securityContext,
  securityOfWeb,
} from '../../support/envoy/security.ts';

/** Of each field that a rule may have, alone. */
const sources = {
  principals: ['cluster.local/ns/a/sa/b', '*/sa/c', 'cluster.local/ns/d/*', '*'],
  notPrincipals: ['cluster.local/ns/a/sa/b'],
  requestPrincipals: ['https://issuer.example/me', '*'],
  notRequestPrincipals: ['other/*'],
  namespaces: ['a', 'b-*', '*-c'],
  notNamespaces: ['a'],
  serviceAccounts: ['a/b', 'c'],
  notServiceAccounts: ['a/b'],
  ipBlocks: ['10.0.0.0/8', '2001:db8::1'],
  notIpBlocks: ['10.1.0.0/16'],
  remoteIpBlocks: ['192.0.2.0/24'],
  notRemoteIpBlocks: ['192.0.2.1'],
};

const operations = {
  hosts: ['a.example.com', '*.b.example.com', 'c.*', 'd.example.com:8080', '*'],
  notHosts: ['a.example.com'],
  ports: ['80', '9'],
  notPorts: ['81'],
  methods: ['GET', 'P*'],
  notMethods: ['DELETE'],
  paths: ['/a', '/b/*', '*/c', '/{*}/d/{**}', '*'],
  notPaths: ['/a'],
};

const conditions = {
  'source.ip': ['10.0.0.1'],
  'remote.ip': ['192.0.2.0/24'],
  'source.namespace': ['a'],
  'source.principal': ['cluster.local/ns/a/sa/b'],
  'source.serviceAccount': ['a/b'],
  'destination.ip': ['10.96.0.0/16'],
  'destination.port': ['80'],
  'connection.sni': ['a.example.com'],
  'request.headers[x-a]': ['b*', '*'],
  'request.auth.principal': ['issuer/me'],
  'request.auth.audiences': ['web'],
  'request.auth.presenter': ['phone'],
  'request.auth.claims[a][b]': ['c', '*d'],
  'experimental.envoy.filters.network.mysql_proxy[db.table]': ['e'],
};

const authorizers = externalAuthorizers(
  [
    { name: 'grpc', envoyExtAuthzGrpc: { service: 'authorizer.default.svc.cluster.local', port: 80 } },
    {
      name: 'http',
      envoyExtAuthzHttp: {
        ...{
          service: 'authorizer.default.svc.cluster.local',
          port: 80,
          timeout: '2s',
          failOpen: true,
          statusOnError: '503',
        },
        ...{ pathPrefix: '/check', clearRouteCache: true, includeRequestHeadersInCheck: ['x-a', 'x-b*'] },
        ...{ includeHeadersInCheck: ['*-c'], includeAdditionalHeadersInCheck: { 'x-d': '100%' } },
        includeRequestBodyInCheck: { maxRequestBytes: 1024, allowPartialMessage: true, packAsBytes: true },
        ...{
          headersToUpstreamOnAllow: ['x-e'],
          headersToDownstreamOnDeny: ['x-f'],
          headersToDownstreamOnAllow: ['x-g'],
        },
      },
    },
  ].map((document) => extensionProvider.parse(document)),
);
const context = securityContext({ authorizers });

const jwtRule = {
  ...{ issuer: 'https://issuer.example', audiences: ['web', 'shop'], jwks: '{"keys":[{"kty":"oct","k":"YQ"}]}' },
  ...{ fromHeaders: [{ name: 'x-token', prefix: 'Mine ' }], fromParams: ['t'], fromCookies: ['session'] },
  ...{ outputPayloadToHeader: 'x-payload', forwardOriginalToken: true },
  outputClaimToHeaders: [{ header: 'x-sub', claim: 'sub' }],
};

/** One after the other, which Envoy does with them in this order. */
function eachAlone(fields: object, rule: (field: string, values: unknown) => unknown): readonly unknown[] {
  return Object.entries(fields).map(([field, values]) => rule(field, values));
}

/** A service with a port of requests and one of bytes, of which the manifests ask something. */
function guarded(parts: readonly SecurityPart[], routes: readonly string[] = []): WaypointInput {
  const rules = routes.map((route) => rule('web', 80, { name: `${route.split(' ')[1] ?? ''}/0` }));
  return input({
    services: [
      {
        ...service('web', '10.96.0.1', port(80, 'http1', rules.length === 0 ? {} : { rules }), port(9, 'tcp')),
        security: securityOfWeb(parts, routes),
      },
    ],
    destinations: [
      destination('web', 80, 'http1', [endpoint('10.0.0.1', 8080)]),
      destination('web', 9, 'tcp', [endpoint('10.0.0.1', 9)]),
      destination('authorizer', 80, 'grpc', [endpoint('10.0.0.2', 8080)]),
    ],
  });
}

const named = (name: string, annotations: Readonly<Record<string, string>> = {}) => ({ name, annotations });
const dryRun = { 'istio.io/dry-run': 'true' };
const onAdmin = [{ to: [{ operation: { paths: ['/admin'] } }] }];
const fromOther = [{ from: [{ source: { namespaces: ['other'] } }] }];

void describe('what a waypoint is told of security, golden:', () => {
  test('sources', () => {
    const rules = eachAlone(sources, (field, values) => ({ from: [{ source: { [field]: values } }] }));
    assertGolden('security-sources', guarded([policy({ action: 'DENY', rules })]));
  });

  test('operations', () => {
    const rules = eachAlone(operations, (field, values) => ({ to: [{ operation: { [field]: values } }] }));
    assertGolden('security-operations', guarded([policy({ action: 'DENY', rules })]));
  });

  test('conditions', () => {
    const rules = [
      ...eachAlone(conditions, (key, values) => ({ when: [{ key, values }] })),
      { when: [{ key: 'request.headers[x-a]', notValues: ['c'] }] },
    ];
    assertGolden('security-conditions', guarded([policy({ action: 'DENY', rules })]));
  });

  test('actions', () => {
    const parts = [
      policy({ action: 'ALLOW', rules: fromOther }, named('allow')),
      policy({ action: 'DENY', rules: onAdmin }, named('deny')),
      policy({ action: 'AUDIT', rules: [...onAdmin, ...fromOther] }, named('audit')),
      policy({ action: 'ALLOW', rules: [{}] }, named('would-allow', dryRun)),
      policy({ action: 'DENY', rules: fromOther }, named('would-deny', dryRun)),
      policy({ action: 'ALLOW' }, named('nothing')),
    ];
    assertGolden('security-actions', guarded(parts));
  });

  test('external authorizers', () => {
    const ask = (name: string) =>
      policy({ action: 'CUSTOM', provider: { name }, rules: [...onAdmin, ...fromOther] }, named(name), context);
    assertGolden('security-authorizers', guarded(['grpc', 'http', 'nobody'].map(ask)));
  });

  test('tokens', () => {
    const issuers = [jwtRule, { issuer: 'other', jwksUri: 'https://other.example/keys' }];
    assertGolden('security-tokens', guarded([authentication(issuers)]));
  });

  test('limits', () => {
    const route = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'slow' };
    const limits = [
      { requests: 100, interval: '1s', burst: 200 },
      { requests: 5, interval: '1m', per: 'Client' },
    ];
    assertGolden('security-limits', guarded([rateLimits(limits, [...ofWeb, route])], ['HTTPRoute default/slow']));
  });
});

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Names of the fields of an object that stands there in manifests. */
function fieldsAt(schema: z.ZodType, ...path: readonly string[]): readonly string[] {
  let at = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const open = (from: JsonSchema): JsonSchema => {
    const inner = from.anyOf?.find((one) => one.properties !== undefined || one.items !== undefined) ?? from;
    return inner.items === undefined ? inner : open(inner.items);
  };
  for (const name of path) at = open(open(at).properties?.[name] ?? assert.fail(`no field ${name}`));
  return Object.keys(open(at).properties ?? {}).sort();
}

void describe('the goldens of security have every field', () => {
  const names = (of: object): readonly string[] => Object.keys(of).sort();

  test('of the source and the operation of a rule', () => {
    assert.deepEqual(names(sources), fieldsAt(authorizationPolicySchema, 'spec', 'rules', 'from', 'source'));
    assert.deepEqual(names(operations), fieldsAt(authorizationPolicySchema, 'spec', 'rules', 'to', 'operation'));
  });

  test('of a rule for tokens', () => {
    // Where keys come from is looked at before, by the control plane.
    const elsewhere = ['jwksUri', 'timeout'];
    const fields = fieldsAt(requestAuthenticationSchema, 'spec', 'jwtRules').filter(
      (name) => !elsewhere.includes(name),
    );
    assert.deepEqual(names(jwtRule), fields);
  });

  test('of a limit', () => {
    assert.deepEqual(['burst', 'interval', 'per', 'requests'], fieldsAt(rateLimitPolicySchema, 'spec', 'limits'));
  });
});
