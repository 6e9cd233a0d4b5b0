import { adminPort } from '../../envoy/bootstrap.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import { Slices } from '../../timing/slices.ts';
import type { Timers } from '../../timing/timers.ts';
import type { ServedProxy } from '../enrolment.ts';
import { CallCounts } from './call-counts.ts';
import { EnvoyPage } from './envoy-page.ts';
import type { FamilyText } from './envoy-page.ts';
import type { PodLoopback } from './pod-loopback.ts';
import { wantedStatistics } from './waypoint-families.ts';

export interface WaypointMetricsDependencies {
  readonly loopback: Pick<PodLoopback, 'read'>;
  readonly proxies: () => readonly ProxyPlace[];
  readonly metrics: Pick<AgentMetrics, 'waypointMetricsFailures' | 'waypointMetricsDropped'>;
  readonly logger: Logger;
  readonly timers: Pick<Timers, 'now'>;
}

type ProxyPlace = Pick<ServedProxy, 'uid' | 'name' | 'kind'>;

/** For all proxies of the node together, one after the other; what one leaves the next ones have. */
export interface ReadingLimits {
  /** Milliseconds. */
  readonly time: number;
  /** Of one of them. */
  readonly longestTime: number;
  /** Of their pages. */
  readonly bytes: number;
  /** Lines on the agent's page. */
  readonly series: number;
}

const MIB = 1024 * 1024;
/** Prometheus itself waits ten seconds for all of the page; one proxy at its own bounds has 60 MiB and 70,000 lines. */
const LIMITS: ReadingLimits = { time: 8_000, longestTime: 5_000, bytes: 96 * MIB, series: 150_000 };

const path = `/stats/prometheus?filter=${encodeURIComponent(wantedStatistics)}`;

type Share = Pick<ReadingLimits, 'time' | 'bytes' | 'series'>;

interface Reading {
  readonly families: readonly FamilyText[];
  readonly bytes: number;
  readonly series: number;
}

const nothing: Reading = { families: [], bytes: 0, series: 0 };

/** What the proxies of this node's waypoints and gateways have counted; only the agent may ask them. */
export class WaypointMetrics {
  readonly #dependencies: WaypointMetricsDependencies;
  readonly #limits: ReadingLimits;
  #calls = new Map<string, CallCounts>();
  #reading: Promise<readonly FamilyText[]> | null = null;

  constructor(dependencies: WaypointMetricsDependencies, limits = LIMITS) {
    this.#dependencies = dependencies;
    this.#limits = limits;
  }

  /** Of all that answer. Whoever asks meanwhile gets the same: pages may be large. */
  read(): Promise<readonly FamilyText[]> {
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readAll(): Promise<readonly FamilyText[]> {
    const proxies = this.#dependencies.proxies();
    this.#calls = new Map(proxies.map(({ uid }) => [uid, this.#calls.get(uid) ?? new CallCounts()]));
    const end = this.#dependencies.timers.now() + this.#limits.time;
    let { bytes, series } = this.#limits;
    const families: FamilyText[] = [];
    for (const [index, proxy] of proxies.entries()) {
      const left = proxies.length - index;
      const time = Math.floor((end - this.#dependencies.timers.now()) / left);
      const share = {
        time: Math.min(this.#limits.longestTime, time),
        bytes: Math.floor(bytes / left),
        series: Math.floor(series / left),
      };
      const reading = await this.#readOne(proxy, share);
      bytes -= reading.bytes;
      series -= reading.series;
      families.push(...reading.families);
    }
    return families;
  }

  async #readOne(proxy: ProxyPlace, share: Share): Promise<Reading> {
    const { metrics, logger } = this.#dependencies;
    try {
      if (share.time <= 0) throw new Error('the proxies before it have taken all the time');
      return await this.#readPage(proxy, share);
    } catch (error) {
      metrics.waypointMetricsFailures.inc();
      logger.debug({ ...errorFields(error), pod: proxy.name }, 'the metrics of a proxy could not be read');
      return nothing;
    }
  }

  async #readPage({ uid, name, kind }: ProxyPlace, share: Share): Promise<Reading> {
    const { metrics } = this.#dependencies;
    const drop = (reason: string): void => {
      metrics.waypointMetricsDropped.inc({ reason });
    };
    const calls = this.#calls.get(uid) ?? new CallCounts();
    const page = new EnvoyPage({ name, kind, series: share.series, calls, drop });
    try {
      const { bytes, complete } = await this.#feed(page, uid, share);
      if (!complete) drop('too_long');
      return { families: page.end(complete), bytes, series: page.series };
    } catch (error) {
      // What it had counted so far must not be added once more.
      calls.finish(false);
      throw error;
    }
  }

  /** @returns not complete: the rest of the page is above the share */
  async #feed(page: EnvoyPage, uid: string, share: Share): Promise<{ bytes: number; complete: boolean }> {
    const slices = new Slices();
    let bytes = 0;
    for await (const { text, length } of this.#dependencies.loopback.read(uid, adminPort, {
      path,
      timeout: share.time,
    })) {
      if (bytes + length > share.bytes) return { bytes: share.bytes, complete: false };
      bytes += length;
      page.feed(text);
      await slices.pause();
    }
    return { bytes, complete: true };
  }
}
