import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import type { AgentOptions } from './agent.ts';

const hostScript = fileURLToPath(new URL('./agent-host.js', import.meta.url));

/** Disturbs the JavaScript of an agent that was started with `options`. */
export class JavaScriptHost {
  readonly options: Partial<AgentOptions>;
  readonly #socket: string;

  /**
   * @param folder of the rig
   * @param nodeFlags of the runtime, such as a limit of memory
   */
  constructor(folder: string, nodeFlags: readonly string[] = []) {
    this.#socket = join(folder, 'host.sock');
    this.options = {
      program: ['node', ...nodeFlags, hostScript],
      environment: { ...process.env, HOST_SOCKET: this.#socket },
    };
  }

  /** Resolves when none of the agent's JavaScript runs any more until the time is over. */
  busy(milliseconds: number): Promise<void> {
    return this.#order(`busy ${milliseconds}`);
  }

  /** An error that nothing catches. */
  throw(message: string): Promise<void> {
    return this.#order(`throw ${message}`);
  }

  /** Uses up V8's memory; the process ends by that. */
  exhaust(): Promise<void> {
    return this.#order('exhaust');
  }

  async #order(text: string): Promise<void> {
    const socket = connect(this.#socket);
    socket.write(`${text}\n`);
    await once(socket, 'data');
    socket.destroy();
  }
}
