import { createHash, ECDH } from 'node:crypto';
import type { HttpFilterSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { JwtAuthenticationSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts';
import type {
  JwtProviderSchema,
  JwtRequirementSchema,
} from '../../proto/gen/envoy-api/envoy/extensions/filters/http/jwt_authn/v3/config_pb.ts';
import { typed } from '../values.ts';
import type { Init } from '../values.ts';
import { tokenFilter, tokenPayload } from './filter-names.ts';
import type { TokenIssuer } from './model.ts';

/** Claims that are a list of words in one text, which policies look for one by one. */
const listsInText = ['scope', 'permission'];
/** Envoy refuses a set without keys, so this has one whose private half nobody has: the point is made from a hash. */
const noKeys = nobodysKeys();

/** Looks for tokens: one that is there must be good, none at all passes. @param issuers at least one */
export function tokenFilterOf(issuers: readonly TokenIssuer[]): Init<typeof HttpFilterSchema> {
  const requirements: Init<typeof JwtRequirementSchema>[] = [
    ...issuers.map(({ name }) => ({ requiresType: { case: 'providerName' as const, value: name } })),
    { requiresType: { case: 'allowMissing', value: {} } },
  ];
  const requires = { requiresType: { case: 'requiresAny' as const, value: { requirements } } };
  return typed(tokenFilter, JwtAuthenticationSchema, {
    providers: Object.fromEntries(issuers.map((issuer) => [issuer.name, provider(issuer)])),
    rules: [
      {
        match: { pathSpecifier: { case: 'prefix', value: '/' } },
        requirementType: { case: 'requires', value: requires },
      },
    ],
    // A browser asks first without a token whether it may send one.
    bypassCorsPreflight: true,
  });
}

function provider(issuer: TokenIssuer): Init<typeof JwtProviderSchema> {
  const { audiences, headers, parameters, cookies, payloadHeader } = issuer;
  return {
    issuer: issuer.issuer,
    audiences: [...audiences],
    jwksSourceSpecifier: {
      case: 'localJwks',
      value: { specifier: { case: 'inlineString', value: issuer.keys ?? noKeys } },
    },
    forward: issuer.forward,
    fromHeaders: headers.map(({ name, prefix }) => ({ name, valuePrefix: prefix })),
    fromParams: [...parameters],
    fromCookies: [...cookies],
    forwardPayloadHeader: payloadHeader ?? '',
    payloadInMetadata: tokenPayload,
    normalizePayloadInMetadata: { spaceDelimitedClaims: listsInText },
    claimToHeaders: issuer.claimHeaders.map(({ header, claim }) => ({ headerName: header, claimName: claim })),
  };
}

function nobodysKeys(): string {
  for (let attempt = 0; ; attempt++) {
    const x = createHash('sha256').update(`nobody's key ${attempt}`).digest();
    try {
      // About every second number is the first half of a point on the curve.
      const point = ECDH.convertKey(
        Buffer.concat([Buffer.from([2]), x]),
        'prime256v1',
        undefined,
        undefined,
        'uncompressed',
      );
      const y = Buffer.from(point).subarray(33);
      const key = { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') };
      return JSON.stringify({ keys: [key] });
    } catch {
      continue;
    }
  }
}
