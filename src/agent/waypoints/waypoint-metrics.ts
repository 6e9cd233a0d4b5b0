import { adminPort } from '../../envoy/bootstrap.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { Slices } from '../../timing/slices.ts';
import type { ServedWaypoint } from '../enrolment.ts';
import { readEnvoyPage } from './envoy-page.ts';
import type { FamilyText } from './envoy-page.ts';
import type { PodLoopback } from './pod-loopback.ts';
import { wantedStatistics } from './waypoint-families.ts';

export interface WaypointMetricsDependencies {
  readonly loopback: Pick<PodLoopback, 'request'>;
  readonly waypoints: () => readonly Pick<ServedWaypoint, 'uid' | 'name'>[];
  readonly metrics: Pick<AgentMetrics, 'waypointMetricsFailures'>;
  readonly logger: Logger;
}

/** Prometheus itself waits ten seconds for all of the page. */
const TIMEOUT = 5_000;
/** Above what the bounds of a waypoint's own metrics allow. */
const LONGEST_PAGE = 96 * 1024 * 1024;

const request = {
  method: 'GET',
  path: `/stats/prometheus?filter=${encodeURIComponent(wantedStatistics)}`,
  timeout: TIMEOUT,
  limit: LONGEST_PAGE,
} as const;

/** What the proxies of this node's waypoints have counted; only the agent may ask them. */
export class WaypointMetrics {
  readonly #dependencies: WaypointMetricsDependencies;
  #reading: Promise<readonly FamilyText[]> | null = null;

  constructor(dependencies: WaypointMetricsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Of all that answer. Whoever asks meanwhile gets the same: pages may be large. */
  read(): Promise<readonly FamilyText[]> {
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readAll(): Promise<readonly FamilyText[]> {
    const pages = await Promise.all(this.#dependencies.waypoints().map((waypoint) => this.#readOne(waypoint)));
    return pages.flat();
  }

  async #readOne({ uid, name }: Pick<ServedWaypoint, 'uid' | 'name'>): Promise<readonly FamilyText[]> {
    try {
      const { status, body } = await this.#dependencies.loopback.request(uid, adminPort, request);
      if (status !== 200) throw new Error(`the proxy answers ${status}`);
      return await familiesOf(body, name);
    } catch (error) {
      const { metrics, logger } = this.#dependencies;
      metrics.waypointMetricsFailures.inc();
      logger.debug({ ...errorFields(error), pod: name }, 'the metrics of a waypoint could not be read');
      return [];
    }
  }
}

async function familiesOf(page: string, waypoint: string): Promise<readonly FamilyText[]> {
  const slices = new Slices();
  const families: FamilyText[] = [];
  for (const family of readEnvoyPage(page, waypoint)) {
    if (family !== null) families.push(family);
    await slices.pause();
  }
  return families;
}
