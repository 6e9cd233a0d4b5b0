import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a finished command left. */
export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly input?: string;
  /** Milliseconds until the command is killed; 30 s unless given. */
  readonly timeout?: number;
  /** Resolve whatever the exit status is, instead of throwing when it is not 0. */
  readonly anyStatus?: boolean;
}

/** Everything that this process has started and that has not ended, with its command, so that a teardown reaches it. */
const alive = new Map<ChildProcessWithoutNullStreams, readonly string[]>();

/** Output that is kept of one process; the oldest goes first. */
const keptLines = 20_000;

/** Runs a command to its end. @throws Error that holds the command, its exit status and what it wrote. */
export async function exec(command: readonly string[], options: ExecOptions = {}): Promise<Finished> {
  const [file, ...args] = command;
  if (file === undefined) throw new Error('exec: no command is given');
  const child = spawn(file, args, { stdio: 'pipe' });
  alive.set(child, command);
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 30_000);
  const finished = finishOf(child);
  child.stdin.on('error', () => undefined); // a command that reads no input may close it: its status tells the rest
  child.stdin.end(options.input ?? '');
  const result = await finished.finally(() => {
    clearTimeout(timer);
    alive.delete(child);
  });
  if (result.code !== 0 && options.anyStatus !== true) throw new Error(describeFailure(command, result));
  return result;
}

function finishOf(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr });
    });
  });
}

function describeFailure(command: readonly string[], { code, signal, stdout, stderr }: Finished): string {
  const how = code === null ? `was killed by ${signal ?? 'a signal'}` : `ended with ${code}`;
  return `${command.join(' ')} ${how}\n${stderr}${stdout}`.trim();
}

/** A process that goes on, with its output as lines. */
export class Running {
  readonly pid: number;
  readonly lines: string[] = [];
  readonly errorLines: string[] = [];
  readonly ended: Promise<Finished>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #command: readonly string[];
  #finished: Finished | null = null;
  #waiting: (() => void)[] = [];
  readonly #listeners: ((line: string) => void)[] = [];

  constructor(command: readonly string[], child: ChildProcessWithoutNullStreams) {
    if (child.pid === undefined) throw new Error(`${command.join(' ')} did not start`);
    this.pid = child.pid;
    this.#command = command;
    this.#child = child;
    child.stdin.on('error', () => undefined);
    this.#collect(child.stdout, this.lines, this.#listeners);
    this.#collect(child.stderr, this.errorLines, []);
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        alive.delete(child);
        this.#finished = { code, signal, stdout: this.lines.join('\n'), stderr: this.errorLines.join('\n') };
        this.#wake();
        resolve(this.#finished);
      });
    });
  }

  /** null while it runs. */
  get finished(): Finished | null {
    return this.#finished;
  }

  /** The first line, old or new, that fits. @throws Error when the process ends or the time is over before. */
  async line(fits: (line: string) => boolean, timeout = 10_000): Promise<string> {
    const deadline = Date.now() + timeout;
    for (let next = 0; ;) {
      for (; next < this.lines.length; next++) {
        const line = this.lines[next];
        if (line !== undefined && fits(line)) return line;
      }
      if (this.#finished !== null) throw new Error(describeFailure(this.#command, this.#finished));
      if (Date.now() >= deadline) throw new Error(`${this.#command.join(' ')}: no such line within ${timeout} ms`);
      await this.#news(deadline - Date.now());
    }
  }

  /** Is called with each line of its output from now on. */
  onLine(listener: (line: string) => void): void {
    this.#listeners.push(listener);
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Ends its input, which is how the test kit's servers and listeners are told to finish. */
  async finish(timeout = 10_000): Promise<Finished> {
    this.#child.stdin.end();
    return this.#killAfter(timeout);
  }

  /** Sends a signal and waits for the end; SIGKILL follows after the time. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeout = 10_000): Promise<Finished> {
    if (this.#finished === null) this.#child.kill(signal);
    return this.#killAfter(timeout);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async #killAfter(timeout: number): Promise<Finished> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeout);
    return this.ended.finally(() => {
      clearTimeout(timer);
    });
  }

  #collect(stream: NodeJS.ReadableStream, into: string[], listeners: readonly ((line: string) => void)[]): void {
    createInterface({ input: stream }).on('line', (line) => {
      into.push(line);
      for (const listener of listeners) listener(line);
      if (into.length > keptLines) into.shift();
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #news(timeout: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** Starts a process that goes on. It is killed with this one, at the latest. */
export function start(command: readonly string[], environment: NodeJS.ProcessEnv = process.env): Running {
  const [file, ...args] = command;
  if (file === undefined) throw new Error('start: no command is given');
  const child = spawn(file, args, { stdio: 'pipe', env: environment });
  child.once('error', () => alive.delete(child));
  alive.set(child, command);
  return new Running(command, child);
}

/** Kills what this process has started with a command that holds the text, or all of it, and waits for the end. */
export async function killStarted(text = ''): Promise<void> {
  const chosen = [...alive].filter(([, command]) => command.some((word) => word.includes(text)));
  const ends = chosen.map(([child]) => new Promise((resolve) => child.once('close', resolve)));
  for (const [child] of chosen) child.kill('SIGKILL');
  await Promise.all(ends);
}
