import { describeError } from '../../config/errors.ts';
import { isUnavailable, KubeError } from '../../kube/kube-error.ts';
import type { KubeRequest } from '../../kube/kube-client.ts';
import { backOffDelay } from '../../timing/back-off.ts';
import { pause } from '../../timing/pause.ts';
import type { Api } from './live-objects.ts';
import type { Patience } from './polling.ts';

interface PatientApiOptions extends Patience {
  readonly api: Api;
  readonly report: (line: string) => void;
}

const RETRY = { first: 1000, longest: 10_000, jitter: 0.2 };

/**
 * An API server that is away or too busy is asked again until the time is over, counted from now on. What it refuses stays refused.
 * Only for requests that may be made twice, as reading, applying and deleting are.
 */
export function patientApi({ api, timers, limit, signal, report }: PatientApiOptions): Api {
  const end = timers.now() + limit;
  let told = false;
  const send = async (request: KubeRequest): Promise<unknown> => {
    for (let failures = 1; ; failures++) {
      try {
        return await api.send({ ...request, signal });
      } catch (error) {
        signal.throwIfAborted();
        const wanted = error instanceof KubeError ? (error.retryAfter ?? 0) : 0;
        const delay = Math.max(wanted, backOffDelay(failures, RETRY, Math.random));
        if (!isUnavailable(error) || timers.now() + delay > end) throw error;
        if (!told) report(`waiting    for the API server: ${describeError(error)}`);
        told = true;
        await pause(delay, timers, signal);
      }
    }
  };
  return { send };
}
