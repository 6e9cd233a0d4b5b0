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
/** With no keys in it no token is good. */
const noKeys = '{"keys":[]}';

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
