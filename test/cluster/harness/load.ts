import type { Running } from '../../support/processes.ts';
import type { FailedConnection, StormResult } from '../../support/testkit.ts';
import type { TestNamespace } from './namespace.ts';

/** What became of the connections of a load. */
export interface LoadResult {
  readonly connections: number;
  /** By the names of the errors. */
  readonly failures: Readonly<Record<string, number>>;
  /** The first ones of each part. */
  readonly failed: readonly FailedConnection[];
  /** Longest that a part of the load had no success, in milliseconds. */
  readonly longestGap: number;
}

interface Part extends StormResult {
  readonly at: number;
}

/**
 * Short connections from a pod to an address, in small parts with a pause in between: a load that leaves room for what is tried
 * under it, and that never runs out of ports.
 */
export class Load {
  readonly #running: Running;
  readonly #parts: Part[] = [];
  readonly #begun = Date.now();

  private constructor(running: Running) {
    this.#running = running;
  }

  /** Resolves with the first part, which must have succeeded unless it `mayFail`. */
  static async start(namespace: TestNamespace, pod: string, address: string, { mayFail = false } = {}): Promise<Load> {
    const part = `ambit-testkit storm ${address} --count 10 --clients 2 --timeout 10000 </dev/null`;
    // A line of input ends it; without one, the wait for it is the pause.
    const running = namespace.background(pod, ['/bin/sh', '-c', `while ${part}; ! read -t 0.1 -r _; do :; done`]);
    const load = new Load(running);
    running.onLine((line) => load.#parts.push({ ...(JSON.parse(line) as StormResult), at: Date.now() }));
    const first = await running.line((line) => line.includes('"connections"'), 30_000);
    if (!mayFail && !first.includes('"failures":{}')) throw new Error(`a load on ${address} failed at once: ${first}`);
    return load;
  }

  /** Of all that it has done. */
  async finish(): Promise<LoadResult> {
    this.#running.write('\n');
    await this.#running.finish(30_000);
    const failures: Record<string, number> = {};
    for (const part of this.#parts)
      for (const [name, count] of Object.entries(part.failures)) failures[name] = (failures[name] ?? 0) + count;
    const connections = this.#parts.reduce((sum, part) => sum + part.connections, 0);
    const failed = this.#parts.flatMap((part) => part.failed);
    return { connections, failures, failed, longestGap: this.#longestGap() };
  }

  #longestGap(): number {
    const successes = this.#parts.filter(({ connections }) => connections > 0).map(({ at }) => at);
    return Math.max(...successes.map((at, index) => at - (successes[index - 1] ?? this.#begun)));
  }
}

/** Of several loads. */
export function failuresOf(results: readonly LoadResult[]): number {
  return Object.values(failuresByKind(results)).reduce((sum, count) => sum + count, 0);
}

/** Kinds of failures of which there are more than in another load, by how many. */
export function failuresBeyond(results: readonly LoadResult[], others: readonly LoadResult[]): Record<string, number> {
  const known = failuresByKind(others);
  const beyond = Object.entries(failuresByKind(results)).map(([kind, count]) => [kind, count - (known[kind] ?? 0)]);
  return Object.fromEntries(beyond.filter(([, count]) => Number(count) > 0)) as Record<string, number>;
}

export function describeLoads(results: readonly LoadResult[]): string {
  return results
    .map(
      ({ connections, failures, failed, longestGap }) =>
        `${connections} connections, failed: ${JSON.stringify(failures)}, longest gap ${longestGap} ms` +
        failed.map((one) => `\n  ${describeFailure(one)}`).join(''),
    )
    .join('; ');
}

function failuresByKind(results: readonly LoadResult[]): Record<string, number> {
  const kinds: Record<string, number> = {};
  for (const [name, count] of results.flatMap(({ failures }) => Object.entries(failures))) {
    kinds[kindOf(name)] = (kinds[kindOf(name)] ?? 0) + count;
  }
  return kinds;
}

/** A captured connect succeeds at once, so what is refused outside the mesh is reset in it: one kind. */
function kindOf(error: string): string {
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error) ? 'refused or reset' : error;
}

function describeFailure({ at, error, phase, local, destination, milliseconds }: FailedConnection): string {
  return `${new Date(at).toISOString()} ${local ?? 'unconnected'} > ${destination}: ${error} on ${phase} after ${milliseconds} ms`;
}
