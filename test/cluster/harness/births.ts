import { setTimeout as delay } from 'node:timers/promises';

import type { CallResult } from '../../support/testkit.ts';
import type { TestNamespace } from './namespace.ts';
import { clientPod } from './workloads.ts';

/** Between two pods: enough of them come about in every moment of what is tried meanwhile, and a small machine keeps up. */
const INTERVAL_MS = 1500;

/** Pods that start all the time, on each node in turn. Each one calls a server as the first thing that it does. */
export class Births {
  readonly #namespace: TestNamespace;
  readonly #names: string[] = [];
  readonly #ending = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(namespace: TestNamespace) {
    this.#namespace = namespace;
  }

  static start(namespace: TestNamespace, address: string, nodes: readonly number[]): Births {
    const births = new Births(namespace);
    births.#running = births.#run(address, nodes);
    // Whoever stops it is told.
    births.#running.catch(() => undefined);
    return births;
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  /** What each pod's first call met, by their names; the pods are deleted. */
  async firstCalls(): Promise<Readonly<Record<string, CallResult>>> {
    const calls = await Promise.all(this.#names.map(async (name) => [name, await this.#firstCall(name)] as const));
    await this.#namespace.kubectl(['delete', 'pod', '--wait=false', ...this.#names]);
    return Object.fromEntries(calls);
  }

  async #run(address: string, nodes: readonly number[]): Promise<void> {
    const script = `ambit-testkit call ${address} --timeout 20000; exec sleep 86400`;
    while (!this.#ending.signal.aborted) {
      const round = this.#names.length;
      const born = nodes.map((node) =>
        clientPod(`born-${round}-${node}-${Date.now().toString(36)}`, {
          node,
          container: { command: ['/bin/sh', '-c', script] },
        }),
      );
      await this.#namespace.apply(...born);
      this.#names.push(...born.map(({ metadata }) => metadata.name ?? ''));
      await delay(INTERVAL_MS, undefined, { signal: this.#ending.signal }).catch(() => undefined);
    }
  }

  #firstCall(name: string): Promise<CallResult> {
    const { cluster } = this.#namespace;
    return cluster.until(`the first call of ${name}`, async () => {
      const [line = ''] = (await this.#namespace.kubectl(['logs', name])).split('\n');
      return line === '' ? null : (JSON.parse(line) as CallResult); // the shape is the binary's
    });
  }
}
