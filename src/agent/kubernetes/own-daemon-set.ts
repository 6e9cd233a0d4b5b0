import type { KubeClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { Timers } from '../../timing/timers.ts';

export interface OwnDaemonSetDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly namespace: string;
  readonly name: string;
  readonly timers: Timers;
  readonly logger: Logger;
}

const DEADLINE_MS = 3000;

/**
 * Whether this agent ends for good, because its DaemonSet was deleted, and not to make room for its successor. Who cannot be asked
 * has not said so: then everything stays, closed.
 */
export async function endsForGood(dependencies: OwnDaemonSetDependencies): Promise<boolean> {
  const { client, namespace, name, timers, logger } = dependencies;
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`;
  try {
    const late = (): Error => new Error(`no answer within ${DEADLINE_MS / 1000} s`);
    const object = await withDeadline(DEADLINE_MS, timers, late, (signal) =>
      client.send({ method: 'GET', path, signal }),
    );
    return isBeingDeleted(object);
  } catch (error) {
    if (isNotFound(error)) return true;
    logger.warn(
      { ...errorFields(error), path },
      'it is not known whether this agent ends for good: its pods stay captured',
    );
    return false;
  }
}

function isBeingDeleted(object: unknown): boolean {
  if (typeof object !== 'object' || object === null || !('metadata' in object)) return false;
  const { metadata } = object;
  return (
    typeof metadata === 'object' &&
    metadata !== null &&
    'deletionTimestamp' in metadata &&
    metadata.deletionTimestamp !== null
  );
}
