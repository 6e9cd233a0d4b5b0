import type { Condition } from '../model/workload.ts';

const most = 10;

/**
 * The conditions of one document. Nobody reads a line for each of ten thousand rules or endpoints, and whoever may write one
 * document must not be able to fill everybody's memory and log.
 */
export function limited(conditions: readonly Condition[]): readonly Condition[] {
  const last = conditions[most - 1];
  if (last === undefined || conditions.length === most) return conditions;
  const message = `${conditions.length - most} more are not told one by one`;
  return [...conditions.slice(0, most), { ...last, reason: 'More', message }];
}
