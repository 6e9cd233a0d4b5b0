import type { ServiceSource } from '../../derive/service-sources.ts';
import type { HttpRule } from '../../envoy/http-rules.ts';
import type { BoundPort, BoundService, ConnectionRule, DestinationName } from '../../envoy/model.ts';
import type { AccessPolicy, Security } from '../../envoy/security/model.ts';

/** Whether a waypoint knows by its hostname the very service that is meant. */
export type IsMeant = (destination: DestinationName) => boolean;

/** @param known the service that a waypoint knows by the hostname; whoever names no namespace means the one that everybody sees */
export function isMeantBy({ namespace }: DestinationName, { service }: ServiceSource): boolean {
  return namespace === null ? service.canonical : service.namespace === namespace;
}

/**
 * What rules send to, and authorizers that are asked, without those whose hostname is another service's at this waypoint: they would
 * get what was meant for somebody else.
 */
export function withMeantOnly(service: BoundService, isMeant: IsMeant): BoundService {
  return {
    ...service,
    ports: service.ports.map((port) => ({ ...port, ...rulesOf(port, isMeant) })),
    security: securityWithMeantOnly(service.security, isMeant),
  };
}

export function securityWithMeantOnly(security: Security, isMeant: IsMeant): Security {
  const policies = security.policies.map((policy): AccessPolicy => {
    const { provider } = policy;
    return provider === null || isMeant(provider.destination) ? policy : { ...policy, provider: null };
  });
  return { ...security, policies };
}

function rulesOf({ rules, connections }: BoundPort, isMeant: IsMeant): Pick<BoundPort, 'rules' | 'connections'> {
  return {
    rules: rules?.map((rule) => ruleOf(rule, isMeant)) ?? null,
    connections: connections?.map((rule) => connectionOf(rule, isMeant)) ?? null,
  };
}

/** A rule for requests. */
export function ruleOf(rule: HttpRule, isMeant: IsMeant): HttpRule {
  const { action } = rule;
  if (action.kind !== 'forward') return rule;
  const targets = action.targets.map((target) => ({ ...target, destination: meant(target.destination, isMeant) }));
  const mirrors = action.mirrors.filter(({ destination }) => isMeant(destination));
  return { ...rule, action: { ...action, targets, mirrors } };
}

/** A rule for connections. */
export function connectionOf(rule: ConnectionRule, isMeant: IsMeant): ConnectionRule {
  const targets = rule.targets.map((target) => ({ ...target, destination: meant(target.destination, isMeant) }));
  return { ...rule, targets };
}

function meant(destination: DestinationName | null, isMeant: IsMeant): DestinationName | null {
  return destination !== null && isMeant(destination) ? destination : null;
}
