import type { LabelSelector } from '../config/manifests/schemas/common.ts';

export type Labels = Readonly<Record<string, string>>;

/** Every wanted label is there with that value; no wanted label: everything is selected. */
export function matchesLabels(wanted: Labels, labels: Labels): boolean {
  return Object.entries(wanted).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** Kubernetes' full label selector. */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  return (
    matchesLabels(selector.matchLabels, labels) &&
    selector.matchExpressions.every((expression) => matchesExpression(expression, labels))
  );
}

/** `NotIn` also holds where the label is missing, as in Kubernetes. */
function matchesExpression(expression: LabelSelector['matchExpressions'][number], labels: Labels): boolean {
  const present = Object.hasOwn(labels, expression.key);
  const listed = present && expression.values.includes(labels[expression.key] ?? '');
  switch (expression.operator) {
    case 'In':
      return listed;
    case 'NotIn':
      return !listed;
    case 'Exists':
      return present;
    case 'DoesNotExist':
      return !present;
  }
}
