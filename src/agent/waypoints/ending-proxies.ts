import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Timers } from '../../timing/timers.ts';
import { adminPort } from '../../envoy/bootstrap.ts';
import type { LocalPod } from '../../model/workload.ts';
import type { PodLoopback } from './pod-loopback.ts';

export interface EndingProxiesDependencies {
  readonly loopback: Pick<PodLoopback, 'request'>;
  readonly timers: Timers;
  readonly logger: Logger;
}

const REQUEST = { method: 'POST', path: '/healthcheck/fail', timeout: 2000, limit: 65_536 } as const;
const TRIES = 3;
const RETRY_MS = 300;

/**
 * The proxies of waypoints and gateways whose pods others run: when such a pod is to end, its proxy is told so that clients that keep their
 * connections go elsewhere with their next request. Nobody in the pod could tell it, for its administration is guarded.
 */
export class EndingProxies {
  readonly #dependencies: EndingProxiesDependencies;
  /** UIDs of pods that were told, for as long as the engine serves them. */
  readonly #told = new Set<string>();

  constructor(dependencies: EndingProxiesDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param proxies UIDs of those that the engine serves */
  reconcile(pods: ReadonlyMap<string, LocalPod>, proxies: readonly string[]): void {
    const served = new Set(proxies);
    for (const uid of this.#told) if (!served.has(uid)) this.#told.delete(uid);
    for (const uid of served) {
      if (this.#told.has(uid) || pods.get(uid)?.ending !== true) continue;
      this.#told.add(uid);
      void this.#tell(uid, TRIES);
    }
  }

  async #tell(uid: string, tries: number): Promise<void> {
    const { loopback, logger, timers } = this.#dependencies;
    try {
      await loopback.request(uid, adminPort, REQUEST);
      logger.info({ pod: uid }, 'a proxy that is to end sends its clients elsewhere');
    } catch (error) {
      if (!this.#told.has(uid)) return;
      if (tries > 1) timers.after(RETRY_MS, () => void this.#tell(uid, tries - 1));
      else logger.warn({ ...errorFields(error), pod: uid }, 'a proxy that is to end could not be told');
    }
  }
}
