import { endpoint, pingPong, storm } from '../test/support/testkit.ts';
import { iperf } from './iperf.ts';

export type Place = 'same node' | 'cross node';

/** Where a cell is measured. */
export interface Site {
  readonly netns: string;
  readonly address: string;
}

export interface Effort {
  readonly seconds: number;
  readonly connectionSeconds: number;
  /** Odd: the median is one of them. */
  readonly repetitions: number;
}

/** Values by metric; each metric name is unique over all cells. */
export type Measures = Readonly<Record<string, number>>;

export interface Cell {
  readonly name: string;
  /** Measured once instead of several times, because it lasts. */
  readonly long: boolean;
  readonly measure: (site: Site, effort: Effort) => Promise<Measures>;
}

export const ports = { echo: 8081, many: '20000-20999', iperf: 5201 } as const;

/** Scenarios 1 to 3 of the performance plan. */
export const cells: readonly Cell[] = [
  ...[1, 4].flatMap((streams) => [streamCell(streams, false), streamCell(streams, true)]),
  roundTripCell(1),
  roundTripCell(8),
  ...[1, 8].flatMap((clients) => [connectionCell(clients, 'reset'), connectionCell(clients, 'fin')]),
];

function streamCell(streams: number, reverse: boolean): Cell {
  const name = `stream ${streams} ${reverse ? 'down' : 'up'}`;
  return {
    name,
    long: false,
    async measure(site, { seconds }) {
      const options = { port: ports.iperf, streams, reverse, seconds };
      const { gigabitsPerSecond, ticksPerGigabyte } = await iperf(site.netns, site.address, options);
      return { [name]: gigabitsPerSecond, [`${name} ticks/GB`]: ticksPerGigabyte };
    },
  };
}

function roundTripCell(clients: number): Cell {
  const name = `round trip ${clients}`;
  return {
    name,
    long: false,
    async measure({ netns, address }, { seconds }) {
      const args = ['--clients', clients, '--duration', seconds * 1000].map(String);
      const { rate, p50, p99, failures } = await pingPong(netns, [endpoint(address, ports.echo), ...args]);
      if (failures.length > 0) throw new Error(`${name}: ${failures.join(', ')}`);
      return { [`${name} rate`]: rate, [`${name} p50`]: p50, [`${name} p99`]: p99 };
    },
  };
}

/** By FIN to a thousand destinations: a client that closes first runs out of its own ports towards a single one. */
function connectionCell(clients: number, close: 'reset' | 'fin'): Cell {
  const name = `connections ${clients} ${close}`;
  return {
    name,
    long: true,
    async measure({ netns, address }, { connectionSeconds }) {
      const target = endpoint(address, close === 'fin' ? ports.many : ports.echo);
      const args = ['--clients', clients, '--close', close, '--duration', connectionSeconds * 1000].map(String);
      const { rate, p99, perSecond, failures } = await storm(
        netns,
        [target, ...args],
        connectionSeconds * 1000 + 60_000,
      );
      const failed = Object.values(failures).reduce((total, count) => total + count, 0);
      return {
        [name]: rate,
        [`${name} p99`]: p99,
        [`${name} last/first`]: decay(perSecond),
        [`${name} failed`]: failed,
      };
    },
  };
}

/** Rate of the last fifth over that of the first: 1 is level. The last second is not a whole one. */
export function decay(perSecond: readonly number[]): number {
  const whole = perSecond.slice(0, -1);
  const fifth = Math.max(1, Math.floor(whole.length / 5));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return whole.length < 2 ? 1 : mean(whole.slice(-fifth)) / mean(whole.slice(0, fifth));
}
