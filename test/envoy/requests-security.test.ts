import assert from 'node:assert/strict';
import { test } from 'node:test';

import { extensionProvider } from '../../src/config/manifests/schemas/extension-providers.ts';
import { externalAuthorizers } from '../../src/envoy/security/external-authorizers.ts';
import type { Security } from '../../src/envoy/security/model.ts';
import { destination, endpoint, input, port, rule, service } from '../support/envoy/inputs.ts';
import { ask } from '../support/envoy/requests.ts';
import type { Asked } from '../support/envoy/requests.ts';
import { authentication, policy, rateLimits, securityContext, securityOfWeb } from '../support/envoy/security.ts';
import { httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';
import { TokenMaker } from '../support/envoy/tokens.ts';

const maker = new TokenMaker('https://issuer.example/one');
const other = new TokenMaker('other');
const stranger = new TokenMaker('https://issuer.example/one');

const jwtRule = { issuer: maker.issuer, jwks: maker.keys };
const when = (key: string, ...values: readonly string[]) => [{ when: [{ key, values }] }];
const tokens = authentication([jwtRule, { issuer: other.issuer, jwks: other.keys }]);
const allowedBy = (key: string, ...values: readonly string[]) =>
  securityOfWeb([tokens, policy({ rules: when(key, ...values) })]);

const authorizers = externalAuthorizers([
  extensionProvider.parse({
    name: 'asker',
    envoyExtAuthzHttp: {
      service: 'authorizer.default.svc.cluster.local',
      port: 80,
      includeRequestHeadersInCheck: ['x-team'],
      headersToUpstreamOnAllow: ['x-found'],
      headersToDownstreamOnDeny: ['x-reason'],
    },
  }),
]);
const custom = (provider: string, context = securityContext({ authorizers })) =>
  policy(
    { action: 'CUSTOM', provider: { name: provider }, rules: [{ to: [{ operation: { paths: ['/asked*'] } }] }] },
    {},
    context,
  );

const places: Readonly<Record<string, Security>> = {
  tokens: securityOfWeb([tokens]),
  audience: securityOfWeb([authentication([{ ...jwtRule, audiences: ['web'] }])]),
  locations: securityOfWeb([
    authentication([
      { ...jwtRule, fromHeaders: [{ name: 'x-token', prefix: 'Mine ' }], fromParams: ['t'], fromCookies: ['session'] },
    ]),
  ]),
  forwarded: securityOfWeb([
    authentication([
      {
        ...jwtRule,
        forwardOriginalToken: true,
        outputPayloadToHeader: 'x-payload',
        outputClaimToHeaders: [{ header: 'x-subject', claim: 'sub' }],
      },
    ]),
  ]),
  keyless: securityOfWeb([authentication([{ issuer: maker.issuer, jwksUri: 'https://issuer.example/keys' }])]),
  required: securityOfWeb([tokens, policy({ rules: [{ from: [{ source: { requestPrincipals: ['*'] } }] }] })]),
  principal: allowedBy('request.auth.principal', `${maker.issuer}/team/a`),
  issuer: allowedBy('request.auth.principal', 'other/*'),
  audiences: allowedBy('request.auth.audiences', 'web'),
  presenter: allowedBy('request.auth.presenter', 'phone'),
  nested: allowedBy('request.auth.claims[realm][roles]', 'adm*'),
  scope: allowedBy('request.auth.claims[scope]', 'write'),
  custom: securityOfWeb([custom('asker')]),
  nobody: securityOfWeb([custom('nobody')]),
  total: securityOfWeb([rateLimits([{ requests: 2, interval: '1h' }])]),
  client: securityOfWeb([rateLimits([{ requests: 1, interval: '1h', per: 'Client' }])]),
  route: securityOfWeb(
    [
      rateLimits(
        [{ requests: 1, interval: '1h' }],
        [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'slow' }],
      ),
    ],
    ['HTTPRoute default/slow'],
  ),
};

const names = Object.keys(places);
const addressOf = (name: string) => `10.96.3.${names.indexOf(name) + 1}`;
const hostnameOf = (name: string) => `${name}.example`;

const rules = {
  route: [
    {
      ...rule('web', 80, { name: 'default/slow/0' }),
      match: { ...rule('web', 80).match, path: { kind: 'prefix' as const, value: '/slow', ignoreCase: false } },
    },
    rule('web', 80, { name: 'default/fast/0' }),
  ],
};

envoySuite(
  'a waypoint looks at requests',
  async () => ({
    web: await httpServer('web'),
    authorizer: await httpServer('authorizer', ({ headers, path }, response) => {
      const allowed = headers['x-team'] === 'red' && path === '/asked/1';
      response.setHeader(allowed ? 'x-found' : 'x-reason', 'a team');
      response.statusCode = allowed ? 200 : 401;
      response.end();
    }),
  }),
  ({ web, authorizer }) =>
    input({
      services: names.map((name) => ({
        ...service('web', addressOf(name), port(80, 'http1', name === 'route' ? { rules: rules.route } : {})),
        hostname: hostnameOf(name),
        security: places[name] ?? assert.fail(),
      })),
      destinations: [
        ...names.map((name) => ({
          ...destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]),
          hostname: hostnameOf(name),
        })),
        destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]),
        destination('authorizer', 80, 'http1', [endpoint('10.0.0.2', authorizer.port)]),
      ],
    }),
  (waypoint) => {
    const request = async (name: string, asked: Asked = {}, identity = 'spiffe://cluster.local/ns/default/sa/client') =>
      ask(await waypoint().envoy.connect(addressOf(name), 80, { facts: new Map([[0xd0, identity]]) }), asked);
    const bearer = (token: string, rest: Asked = {}): Asked => ({
      ...rest,
      headers: { authorization: `Bearer ${token}` },
    });
    const statuses = async (name: string, ...asked: readonly Asked[]) =>
      Promise.all(asked.map(async (each) => (await request(name, each)).status));

    test('a good token passes, a bad one does not, and none at all is a matter for policies', async () => {
      const good = bearer(maker.token());
      const bad = [
        bearer(stranger.token()),
        bearer(maker.token({ exp: 1 })),
        bearer('x.y.z'),
        bearer(new TokenMaker('unknown').token()),
      ];
      assert.deepEqual(
        await statuses('tokens', good, bearer(other.token()), {}, ...bad),
        [200, 200, 200, 401, 401, 401, 401],
      );
      assert.equal(
        waypoint().servers.web.seen.every(({ headers }) => headers.authorization === undefined),
        true,
      );
    });

    test('a token has to be for its audience', async () => {
      const asked = [
        bearer(maker.token({ aud: ['web', 'shop'] })),
        bearer(maker.token({ aud: 'shop' })),
        bearer(maker.token()),
      ];
      assert.deepEqual(await statuses('audience', ...asked), [200, 403, 403]);
    });

    test('tokens are found where their rule says', async () => {
      const [good, bad] = [maker.token(), stranger.token()];
      const places = (token: string): readonly Asked[] => [
        { headers: { 'x-token': `Mine ${token}` } },
        { path: `/?t=${token}` },
        { headers: { cookie: `session=${token}` } },
      ];
      assert.deepEqual(await statuses('locations', ...places(good), ...places(bad)), [200, 200, 200, 401, 401, 401]);
    });

    test('the application is told what its rule says, and by nobody else', async () => {
      const token = maker.token();
      await request('forwarded', { headers: { authorization: `Bearer ${token}`, 'x-subject': 'forged' } });
      const { headers = {} } = waypoint().servers.web.seen.at(-1) ?? {};
      assert.deepEqual([headers.authorization, headers['x-subject']], [`Bearer ${token}`, 'somebody']);
      assert.equal(headers['x-payload'], token.split('.')[1]);
      await request('forwarded', { headers: { 'x-subject': 'forged', 'x-payload': 'forged' } });
      const unasked = waypoint().servers.web.seen.at(-1)?.headers;
      assert.deepEqual([unasked?.['x-subject'], unasked?.['x-payload']], [undefined, undefined]);
    });

    test('no token is good while nobody has the keys', async () => {
      assert.deepEqual(await statuses('keyless', bearer(maker.token()), {}), [401, 200]);
    });

    test('a policy asks for a token', async () => {
      assert.deepEqual(await statuses('required', bearer(maker.token()), {}), [200, 403]);
    });

    test('a policy asks for a principal', async () => {
      const asked = [maker.token({ sub: 'team/a' }), maker.token({ sub: 'team/b' }), other.token()].map((token) =>
        bearer(token),
      );
      assert.deepEqual(await statuses('principal', ...asked), [200, 403, 403]);
      assert.deepEqual(await statuses('issuer', ...asked), [403, 403, 200]);
    });

    test('a policy asks for claims', async () => {
      const bearers = (...claims: readonly Readonly<Record<string, unknown>>[]) =>
        claims.map((each) => bearer(maker.token(each)));
      assert.deepEqual(await statuses('audiences', ...bearers({ aud: ['a', 'web'] }, { aud: 'a' })), [200, 403]);
      assert.deepEqual(await statuses('presenter', ...bearers({ azp: 'phone' }, { azp: 'tv' })), [200, 403]);
      const roles = [
        { realm: { roles: ['user', 'admin'] } },
        { realm: { roles: 'admin' } },
        { realm: { roles: ['user'] } },
        { roles: 'admin' },
      ];
      assert.deepEqual(await statuses('nested', ...bearers(...roles)), [200, 200, 403, 403]);
      assert.deepEqual(await statuses('scope', ...bearers({ scope: 'read write' }, { scope: 'read' })), [200, 403]);
    });

    test('an external authorizer is asked where the policy says, and heard', async () => {
      const red = { 'x-team': 'red' };
      const [unasked, allowed] = [await request('custom'), await request('custom', { path: '/asked/1', headers: red })];
      assert.deepEqual([unasked.status, allowed.status], [200, 200]);
      assert.equal(waypoint().servers.web.seen.at(-1)?.headers['x-found'], 'a team');
      const denied = await request('custom', { path: '/asked/2', headers: red });
      assert.deepEqual([denied.status, denied.headers['x-reason']], [401, 'a team']);
    });

    test('what nobody can be asked about is denied', async () => {
      assert.deepEqual(await statuses('nobody', { path: '/asked' }, {}), [403, 200]);
    });

    test('a limit lets so many through, and says so', async () => {
      const first = await request('total');
      assert.deepEqual(
        [first.status, first.headers['x-ratelimit-limit'], first.headers['x-ratelimit-remaining']],
        [200, '2', '1'],
      );
      const rest = [await request('total'), await request('total', {}, 'spiffe://cluster.local/ns/default/sa/other')];
      assert.deepEqual(
        rest.map(({ status }) => status),
        [200, 429],
      );
      assert.equal(rest[1]?.headers['x-ratelimit-remaining'], '0');
      assert.match(await waypoint().envoy.admin('/stats'), /rate_limit\.http_local_rate_limit\.rate_limited: [1-9]/);
    });

    test('a limit per client leaves other clients theirs', async () => {
      const [one, two] = ['one', 'two'].map((name) => `spiffe://cluster.local/ns/default/sa/${name}`);
      const found = [
        await request('client', {}, one),
        await request('client', {}, one),
        await request('client', {}, two),
      ];
      assert.deepEqual(
        found.map(({ status }) => status),
        [200, 429, 200],
      );
    });

    test('a limit of a route leaves others alone', async () => {
      const found = [
        await request('route', { path: '/slow' }),
        await request('route', { path: '/slow' }),
        await request('route'),
      ];
      assert.deepEqual(
        found.map(({ status }) => status),
        [200, 429, 200],
      );
    });
  },
);
