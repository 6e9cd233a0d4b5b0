import { parseMetrics } from './metrics.ts';
import type { Sample } from './metrics.ts';
import { enter } from './namespaces.ts';
import { start } from './processes.ts';
import type { Finished, Running } from './processes.ts';
import { endpoint, fetchPage } from './testkit.ts';
import type { Page } from './testkit.ts';
import { waitFor } from './wait.ts';

export interface MeshProcessOptions {
  /** For messages. */
  readonly name: string;
  /** Namespace that it runs in; its pages are asked for there. */
  readonly netns: string;
  readonly command: readonly string[];
  readonly environment: NodeJS.ProcessEnv | undefined;
  readonly readinessPath: string;
}

/** A process of the mesh in a namespace, with pages for readiness and metrics. */
export abstract class MeshProcess<Kind extends string> {
  readonly process: Running;
  readonly #options: MeshProcessOptions;

  constructor(options: MeshProcessOptions) {
    this.#options = options;
    this.process = start(enter(options.netns, options.command), options.environment);
  }

  /** Ports of its pages on localhost. */
  protected abstract readonly ports: Readonly<Record<Kind | 'metrics' | 'readiness', number>>;

  /** Resolves when it says that it is ready. @throws Error with its last log lines when it does not. */
  async ready(timeout = 60_000): Promise<void> {
    const { name } = this.#options;
    try {
      const ready = waitFor(() => this.#isReady(), { timeout, what: `readiness of ${name}` });
      await Promise.race([ready, this.#endedEarly()]);
    } catch (cause) {
      throw new Error(`${name} is not ready:\n${this.log(30)}`, { cause });
    }
  }

  async #isReady(): Promise<boolean> {
    if (this.process.finished !== null) return true; // `#endedEarly` has the word
    const { status, body, error } = await this.readiness();
    if (status !== 200) throw new Error(error ?? body);
    return true;
  }

  async #endedEarly(): Promise<never> {
    const { code, signal } = await this.process.ended;
    throw new Error(`it ended with ${code ?? signal ?? 'no status'}`);
  }

  /** What it says about its readiness now. */
  readiness(): Promise<Page> {
    return this.page('readiness', this.#options.readinessPath);
  }

  page(kind: Kind | 'metrics' | 'readiness', path: string, method = 'GET'): Promise<Page> {
    return fetchPage(this.#options.netns, endpoint('127.0.0.1', this.ports[kind]), path, method);
  }

  async metrics(): Promise<Sample[]> {
    const { status, body, error } = await this.page('metrics', '/metrics');
    if (status !== 200) throw new Error(`no metrics of ${this.#options.name}: ${error ?? `status ${status}`}`);
    return parseMetrics(body);
  }

  /** The last lines of what it wrote. */
  log(lines = 50): string {
    return [...this.process.lines.slice(-lines), ...this.process.errorLines.slice(-lines)].join('\n');
  }

  stop(signal: NodeJS.Signals = 'SIGTERM', timeout = 30_000): Promise<Finished> {
    return this.process.stop(signal, timeout);
  }
}
