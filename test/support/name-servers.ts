import type { Names } from './dns-server.ts';
import { enter } from './namespaces.ts';
import { root } from './paths.ts';
import { start } from './processes.ts';
import type { Running } from './processes.ts';

/** A name server inside a pod's namespace. */
export class NameServer {
  readonly #process: Running;

  private constructor(process: Running) {
    this.#process = process;
  }

  static async start(netns: string, address: string, port: number): Promise<NameServer> {
    const program = `${root}dist/test/support/dns-server-main.js`;
    const running = start(enter(netns, ['node', program, address, String(port)]));
    await running.line((line) => line === 'ready', 30_000);
    return new NameServer(running);
  }

  /** What it knows from now on. */
  async know(names: Names): Promise<void> {
    this.#process.write(`${JSON.stringify(names)}\n`);
    await this.#process.line((line) => line === 'known', 10_000);
  }

  async stop(): Promise<void> {
    await this.#process.stop('SIGKILL');
  }
}
