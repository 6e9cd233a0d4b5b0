import type {
  OperationDocument,
  RuleDocument,
  SourceDocument,
} from '../../config/manifests/schemas/authorization-policy.ts';

/** What the destination sees for itself, at L4. */
const sourceFields: readonly (keyof SourceDocument)[] = [
  'principals',
  'notPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'ipBlocks',
  'notIpBlocks',
];
const operationFields: readonly (keyof OperationDocument)[] = ['ports', 'notPorts'];
const conditionKeys: readonly string[] = [
  'source.ip',
  'source.namespace',
  'source.principal',
  'source.serviceAccount',
  'destination.ip',
  'destination.port',
];

/**
 * Whether the destination of a selected workload leaves a rule that denies to its waypoint: nothing of it can be looked at there.
 * Of any other rule it denies by what it sees, which is more than was written.
 */
export function isLeftToWaypoint(rule: RuleDocument): boolean {
  const clauses = [
    ...(rule.from === null ? [] : [rule.from.map(({ source }) => seen(source, sourceFields))]),
    ...(rule.to === null ? [] : [rule.to.map(({ operation }) => seen(operation, operationFields))]),
    ...(rule.when ?? []).map(({ key }) => [conditionKeys.includes(key)]),
  ];
  return clauses.length > 0 && clauses.every((alternatives) => alternatives.some((isSeen) => !isSeen));
}

function seen<Fields extends object>(fields: Fields, names: readonly (keyof Fields)[]): boolean {
  return names.some((name) => fields[name] !== null);
}
