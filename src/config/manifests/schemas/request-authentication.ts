import type { z } from 'zod';
import { closed, documentOf, list, maybe, optionalObject, text, workloadSelector } from './common.ts';
import { headerName } from './gateway-common.ts';
import { flag, istioDuration } from './istio-common.ts';
import { targetReferenceFields } from './target-references.ts';

const webAddress = text.refine((value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), {
  error: 'must be a URL of http or https',
});

const header = closed({
  name: headerName,
  prefix: text
    .refine((value) => !/[\r\n\0]/.test(value), { error: 'must be a text in one line' })
    .nullish()
    .transform((value): string => value ?? ''),
});

/** Names as JSON Web Tokens, URLs and cookies have them, one or more characters. */
const name = text.min(1).max(256);

const claimHeader = closed({ header: headerName, claim: name });

const jwtRule = closed({
  issuer: text.min(1),
  audiences: list(name),
  jwksUri: maybe(webAddress),
  /** A JSON Web Key Set; looked at when it is converted, for what is wrong with it must not undo the rest. */
  jwks: maybe(text),
  fromHeaders: list(header),
  fromParams: list(name),
  fromCookies: list(name),
  outputPayloadToHeader: maybe(headerName),
  forwardOriginalToken: flag,
  outputClaimToHeaders: list(claimHeader),
  timeout: maybe(istioDuration),
}).refine(({ jwksUri, jwks }) => jwksUri === null || jwks === null, {
  error: 'cannot have both jwks and jwksUri',
  path: ['jwksUri'],
});

/** A waypoint looks for a token of each. */
const mostRules = 64;

const spec = closed({
  ...targetReferenceFields,
  selector: maybe(workloadSelector),
  jwtRules: list(jwtRule).refine((rules) => rules.length <= mostRules, { error: `cannot be more than ${mostRules}` }),
}).refine((value) => value.selector === null || (value.targetRef === null && value.targetRefs === null), {
  error: 'cannot stand beside targetRef or targetRefs',
  path: ['selector'],
});

export const requestAuthenticationSchema = documentOf(optionalObject(spec));

export type RequestAuthenticationDocument = z.output<typeof requestAuthenticationSchema>;
export type JwtRuleDocument = z.output<typeof jwtRule>;
