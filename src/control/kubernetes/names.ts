/** Name of the Lease by which replicas agree on who writes. */
export const leaderLease = 'ambit-leader';

/** Name of our ValidatingWebhookConfiguration, which is of the whole cluster, so the namespace is in it. */
export function validatorNameIn(namespace: string): string {
  return `ambit-validator-${namespace}`;
}
