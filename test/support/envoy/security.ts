import { authorizationPolicySchema } from '../../../src/config/manifests/schemas/authorization-policy.ts';
import { defaultMeshSettings } from '../../../src/config/manifests/schemas/mesh-settings.ts';
import { rateLimitPolicySchema } from '../../../src/config/manifests/schemas/rate-limit-policy.ts';
import { requestAuthenticationSchema } from '../../../src/config/manifests/schemas/request-authentication.ts';
import type { SecurityContext } from '../../../src/envoy/security/context.ts';
import { convertAuthorizationPolicy } from '../../../src/envoy/security/authorization-policy.ts';
import type { Security } from '../../../src/envoy/security/model.ts';
import { securityOf } from '../../../src/envoy/security/part.ts';
import type { SecurityPart } from '../../../src/envoy/security/part.ts';
import { convertRateLimitPolicy } from '../../../src/envoy/security/rate-limit-policy.ts';
import { convertRequestAuthentication } from '../../../src/envoy/security/request-authentication.ts';
import { read } from './documents.ts';

export const ofWeb = [{ kind: 'Service', name: 'web' }];

export function securityContext(given: Partial<SecurityContext> = {}): SecurityContext {
  return { settings: defaultMeshSettings, authorizers: new Map(), keys: () => undefined, ...given };
}

type Metadata = Readonly<Record<string, unknown>>;

/** An AuthorizationPolicy of the service `web`, unless its spec says of what. */
export function policy(
  spec: Readonly<Record<string, unknown>>,
  metadata: Metadata = {},
  context = securityContext(),
): SecurityPart {
  const attached = 'selector' in spec || 'targetRefs' in spec ? spec : { targetRefs: ofWeb, ...spec };
  return convertAuthorizationPolicy(read(authorizationPolicySchema, attached, metadata), context);
}

export function authentication(
  jwtRules: readonly unknown[],
  metadata: Metadata = {},
  context = securityContext(),
): SecurityPart {
  return convertRequestAuthentication(
    read(requestAuthenticationSchema, { targetRefs: ofWeb, jwtRules }, metadata),
    context,
  );
}

export function rateLimits(limits: readonly unknown[], targetRefs: readonly unknown[] = ofWeb): SecurityPart {
  const document = read(rateLimitPolicySchema, { targetRefs, limits });
  return convertRateLimitPolicy(document, defaultMeshSettings.rootNamespace);
}

/** All that the manifests ask of those who come to the service `web`. */
export function securityOfWeb(parts: readonly SecurityPart[], routes: readonly string[] = []): Security {
  const resources = new Set(['Service default/web', ...routes]);
  const workloads = [{ namespace: 'default', labels: { app: 'web' } }];
  return securityOf({ resources, workloads, targetPorts: new Map([[80, 8080]]) }, parts);
}
