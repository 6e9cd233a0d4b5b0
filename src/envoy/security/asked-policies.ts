import type { PolicyLookup } from '../policies.ts';
import type { AccessPolicy, ExternalAuthorizer } from './model.ts';

/** Where whoever has to be asked does not exist nobody can be. */
export function reachable(policies: readonly AccessPolicy[], destinations: PolicyLookup): readonly AccessPolicy[] {
  return policies.map((policy) =>
    policy.provider !== null && destinations(policy.provider.destination) === undefined
      ? { ...policy, provider: null }
      : policy,
  );
}

/** Each once, in the order of their names. */
export function authorizersOf(policies: readonly AccessPolicy[]): readonly ExternalAuthorizer[] {
  const byName = new Map(policies.flatMap(({ provider }) => (provider === null ? [] : [[provider.name, provider]])));
  return [...byName.values()].toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

/** Those by which the authorizer is asked. */
export function asking({ name }: ExternalAuthorizer, policies: readonly AccessPolicy[]): readonly AccessPolicy[] {
  return policies.filter(({ provider, dryRun }) => provider?.name === name && !dryRun);
}
