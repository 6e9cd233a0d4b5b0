import { readAccessLog } from './access-log.ts';
import type { AccessLine } from './access-log.ts';
import { parseMetrics } from './metrics.ts';
import type { Sample } from './metrics.ts';
import { enter } from './namespaces.ts';
import { ambitBinary } from './paths.ts';
import { start } from './processes.ts';
import type { Finished, Running } from './processes.ts';
import { endpoint, fetchPage } from './testkit.ts';
import type { Page } from './testkit.ts';
import { waitFor } from './wait.ts';

export interface AgentOptions {
  readonly node: string;
  /** Namespace that plays the node. */
  readonly netns: string;
  readonly manifests: string;
  readonly ca: string;
  readonly stateDir: string;
  readonly accessLog: string;
  readonly bpffs: string;
  /** Further flags. */
  readonly flags?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** What runs instead of bin/ambit. */
  readonly program?: readonly string[];
}

const ports = { admin: 15000, metrics: 15020, readiness: 15021 } as const;

/** One `ambit agent` in the namespace of its node. */
export class Agent {
  readonly options: AgentOptions;
  readonly process: Running;

  constructor(options: AgentOptions) {
    this.options = options;
    const { program = [ambitBinary] } = options;
    this.process = start(enter(options.netns, [...program, 'agent', ...agentFlags(options)]), options.environment);
  }

  /** Resolves when the agent says that it is ready. @throws Error with its last log lines when it does not. */
  async ready(timeout = 20_000): Promise<void> {
    try {
      const ready = waitFor(() => this.#isReady(), { timeout, what: `readiness of ${this.options.node}` });
      await Promise.race([ready, this.#endedEarly()]);
    } catch (cause) {
      throw new Error(`agent ${this.options.node} is not ready:\n${this.log(30)}`, { cause });
    }
  }

  async #isReady(): Promise<boolean> {
    if (this.process.finished !== null) return true; // `#endedEarly` has the word
    const { status, body, error } = await this.page('readiness', '/healthz/ready');
    if (status !== 200) throw new Error(error ?? body);
    return true;
  }

  async #endedEarly(): Promise<never> {
    const { code, signal } = await this.process.ended;
    throw new Error(`it ended with ${code ?? signal ?? 'no status'}`);
  }

  page(kind: keyof typeof ports, path: string, method = 'GET'): Promise<Page> {
    return fetchPage(this.options.netns, endpoint('127.0.0.1', ports[kind]), path, method);
  }

  async metrics(): Promise<Sample[]> {
    const { status, body, error } = await this.page('metrics', '/metrics');
    if (status !== 200) throw new Error(`no metrics of ${this.options.node}: ${error ?? `status ${status}`}`);
    return parseMetrics(body);
  }

  accessLog(): Promise<AccessLine[]> {
    return readAccessLog(this.options.accessLog);
  }

  /** The last lines of what it wrote. */
  log(lines = 50): string {
    return [...this.process.lines.slice(-lines), ...this.process.errorLines.slice(-lines)].join('\n');
  }

  stop(signal: NodeJS.Signals = 'SIGTERM', timeout = 30_000): Promise<Finished> {
    return this.process.stop(signal, timeout);
  }
}

function agentFlags({ node, manifests, ca, stateDir, accessLog, bpffs, flags = [] }: AgentOptions): string[] {
  const paths = { manifests, ca, 'state-dir': stateDir, 'access-log': accessLog, bpffs };
  const named = Object.entries(paths).flatMap(([name, value]) => [`--${name}`, value]);
  return ['--node', node, ...named, ...flags];
}
