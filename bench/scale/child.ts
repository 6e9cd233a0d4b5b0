import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

type Commands = object;
type Arguments<C extends Commands, Name extends keyof C> = C[Name] extends (argument: infer A) => unknown ? A : never;
type Result<C extends Commands, Name extends keyof C> = C[Name] extends (argument: never) => infer R
  ? Awaited<R>
  : never;

interface Order {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

const longestWait = 600_000;

/** A process of the benchmark that does what it is told, one order after the other. */
export class Child<C extends Commands> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #serial = 0;

  /** @param module beside this one, such as `control-process.ts` */
  constructor(module: string, nodeFlags: readonly string[] = []) {
    const path = fileURLToPath(new URL(module.replace(/\.ts$/, '.js'), import.meta.url));
    this.#process = fork(path, [], { execArgv: [...nodeFlags], serialization: 'advanced' });
    this.#process.on('message', (reply: Reply) => {
      this.#take(reply);
    });
    this.#process.on('exit', (code, signal) => {
      this.#fail(new Error(`${module} has ended: ${signal ?? String(code)}`));
    });
  }

  order<Name extends keyof C & string>(name: Name, argument: Arguments<C, Name>): Promise<Result<C, Name>> {
    const id = ++this.#serial;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        reject(new Error(`${name} took longer than ${longestWait / 1000} s`));
      }, longestWait);
      const settle =
        <T>(done: (value: T) => void) =>
        (value: T) => {
          clearTimeout(limit);
          done(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.#process.send({ id, name, argument } satisfies Order);
    });
  }

  /** Gives it a moment to end by itself. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise<void>((resolve) =>
      this.#process.once('exit', () => {
        resolve();
      }),
    );
    this.#process.disconnect();
    const forced = setTimeout(() => this.#process.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(forced);
  }

  #take({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result as never);
    else waiting?.reject(new Error(error));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The child's side: carries out orders until the parent goes away. */
export function obey(commands: Commands): void {
  process.on('message', (order: Order) => {
    void carryOut(commands as Record<string, (argument: unknown) => unknown>, order);
  });
  process.on('disconnect', () => process.exit(0));
}

async function carryOut(commands: Record<string, (argument: unknown) => unknown>, { id, name, argument }: Order) {
  try {
    process.send?.({ id, result: await commands[name]?.(argument) } satisfies Reply);
  } catch (error) {
    process.send?.({
      id,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    } satisfies Reply);
  }
}
