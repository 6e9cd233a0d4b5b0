import type {
  JwtRuleDocument,
  RequestAuthenticationDocument,
} from '../../config/manifests/schemas/request-authentication.ts';
import type { Condition } from '../../model/workload.ts';
import { Notes } from '../routes/notes.ts';
import type { KeySource, SecurityContext } from './context.ts';
import { keysIn, readKeySet } from './key-set.ts';
import { noSecurity } from './model.ts';
import type { TokenIssuer } from './model.ts';
import type { SecurityPart } from './part.ts';
import { conditionType, readTargets, targetReferences } from './targets.ts';

/** Every replica of a waypoint holds the keys of all issuers, in each chain that asks for tokens. Bytes. */
export const maximumKeySet = 65_536;

/** Where the keys of its issuers have to be fetched from. */
export function keySources({ spec }: RequestAuthenticationDocument): readonly KeySource[] {
  return spec.jwtRules.flatMap((rule) => keySource(rule) ?? []);
}

/** A RequestAuthentication as waypoints enforce it. An issuer whose keys are not there has no good tokens. */
export function convertRequestAuthentication(
  document: RequestAuthenticationDocument,
  context: SecurityContext,
): SecurityPart {
  const notes = new Notes('RequestAuthentication', document);
  const { rootNamespace } = context.settings;
  const targets = readTargets(document, { rootNamespace, notes, routes: false });
  const { namespace, name } = document.metadata;
  const issuers = document.spec.jwtRules.map((rule, index): TokenIssuer => {
    const field = `spec.jwtRules[${index}]`;
    if (rule.timeout !== null) {
      const instead = 'has no effect: keys are fetched by the control plane, beforehand, which waits 10s';
      notes.add(conditionType, 'UnsupportedValue', `${field}.timeout: ${instead}`);
    }
    const keys = keysOf(rule, field, context, notes);
    return tokenIssuer(rule, `${namespace}/${name}/${index}`, keys);
  });
  const resource = `RequestAuthentication ${namespace}/${name}`;
  const security = { ...noSecurity, issuers };
  const common = { resource, targets, left: null, conditions: notes.conditions };
  if (targetReferences(document).length > 0) return { ...common, security, selected: null };
  const labels = document.spec.selector?.matchLabels ?? {};
  const reach = { namespace: namespace === rootNamespace ? null : namespace, labels };
  return {
    ...common,
    security: noSecurity,
    selected: { ...reach, security, conditions: [], unselected: [unbound(resource)] },
  };
}

function unbound(resource: string): Condition {
  const message =
    'spec.targetRefs: is not set, and no gateway is selected: only waypoints, which are attached to by it, and gateways check tokens';
  return { resource, type: conditionType, reason: 'AncestorNotBound', message };
}

function tokenIssuer(rule: JwtRuleDocument, name: string, keys: string | null): TokenIssuer {
  return {
    name,
    issuer: rule.issuer,
    audiences: rule.audiences,
    keys,
    headers: rule.fromHeaders,
    parameters: rule.fromParams,
    cookies: rule.fromCookies,
    forward: rule.forwardOriginalToken ?? false,
    payloadHeader: rule.outputPayloadToHeader,
    claimHeaders: rule.outputClaimToHeaders,
  };
}

function keysOf(rule: JwtRuleDocument, field: string, { keys }: SecurityContext, notes: Notes): string | null {
  if (rule.jwks !== null) {
    if (Buffer.byteLength(rule.jwks) > maximumKeySet)
      return refuse(notes, `${field}.jwks`, `is longer than ${maximumKeySet} bytes`);
    return goodKeys(rule.jwks, `${field}.jwks`, notes);
  }
  const source = keySource(rule);
  if (source === null) {
    return refuse(notes, `${field}.jwksUri`, 'is not set, and the issuer is no URL that would say where its keys are');
  }
  const found = keys(source);
  if (found !== undefined && 'keys' in found) return goodKeys(found.keys, `${field}.jwksUri`, notes);
  const why = found === undefined ? 'could not be fetched' : `are not fetched: ${found.refused}`;
  return refuse(notes, `${field}.jwksUri`, `keys of ${source.url} ${why}`);
}

/** What Envoy can use of a set. */
function goodKeys(text: string, field: string, notes: Notes): string | null {
  const values = keysIn(text);
  if (values === null) return refuse(notes, field, 'is no JSON Web Key Set');
  const { keys, leftOut } = readKeySet(values);
  for (const what of leftOut) notes.add(conditionType, 'PartiallyInvalid', `${field}: ${what}: it is left out`);
  return keys ?? refuse(notes, field, 'has no key that a waypoint can use');
}

function refuse(notes: Notes, field: string, what: string): null {
  notes.add(conditionType, 'PartiallyInvalid', `${field}: ${what}: all tokens of the issuer are refused`);
  return null;
}

/** Null where the keys are written in the manifest, and where nobody says where they are. */
function keySource({ issuer, jwks, jwksUri }: JwtRuleDocument): KeySource | null {
  if (jwks !== null) return null;
  if (jwksUri !== null) return { kind: 'keys', url: jwksUri };
  return /^https?:\/\//.test(issuer) && URL.canParse(issuer) ? { kind: 'issuer', url: issuer } : null;
}

/** @returns whether the text is a JSON object with a list `keys` that is not empty */
export function isKeySet(text: string): boolean {
  return keysIn(text) !== null;
}
