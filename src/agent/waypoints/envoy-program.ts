import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { AmbitError } from '../../config/errors.ts';

/** A proxy that runs. */
export interface RunningProxy {
  readonly pid: number | null;
  /** Resolves with why it has ended, and what it said last. */
  readonly ended: Promise<string>;
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export interface ProxyCall {
  /** Path of the network namespace that it runs in. */
  readonly netns: string;
  readonly args: readonly string[];
  /** It listens on ports below 1024. */
  readonly lowPorts: boolean;
}

export interface ProxyProgram {
  start(call: ProxyCall): RunningProxy;
}

/** Whom the proxy runs as: nobody that a machine knows, and without any capability but the one that low ports take. */
const nobody = '65532';
const rememberedLines = 5;
const longestLine = 500;

/** Only this: what the agent's environment holds is none of a proxy's business. */
const environment = { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' };

/**
 * Envoy from a file of this machine. It runs in the pod's network namespace as nobody; its output goes where the agent's
 * output goes. It ends with the agent: without that nobody would hand it anything, and the next agent starts its own.
 */
export class EnvoyProgram implements ProxyProgram {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** @throws AmbitError `ENVOY_UNUSABLE` where the file cannot be opened */
  start(call: ProxyCall): RunningProxy {
    const program = this.#open();
    try {
      const [command, ...rest] = commandOf(call);
      const stdio = ['ignore' as const, 'inherit' as const, 'pipe' as const, program];
      return watched(spawn(command, rest, { stdio, env: environment }));
    } finally {
      closeSync(program);
    }
  }

  #open(): number {
    try {
      return openSync(this.#file, 'r');
    } catch (cause) {
      throw new AmbitError('ENVOY_UNUSABLE', `--envoy ${this.#file} cannot be opened; name the program of Envoy`, {
        cause,
      });
    }
  }
}

function commandOf({ netns, args, lowPorts }: ProxyCall): readonly [string, ...string[]] {
  const identity = ['--reuid', nobody, '--regid', nobody, '--clear-groups', '--no-new-privs'];
  // The capability is its alone; the sysctl that does without would open low ports to every process of the pod.
  const left = lowPorts ? '-all,+net_bind_service' : '-all';
  const capabilities = ['--bounding-set', '--inh-caps', '--ambient-caps'].map((set) => `${set}=${left}`);
  const rights = ['setpriv', ...identity, ...capabilities, '--pdeathsig', 'SIGKILL'];
  // By its descriptor: whom it runs as may not be let into the folder that it lies in.
  return ['nsenter', `--net=${netns}`, '--', ...rights, '/proc/self/fd/3', '--disable-hot-restart', ...args];
}

function watched(child: ChildProcess): RunningProxy {
  const last: string[] = [];
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line.slice(0, longestLine));
      if (last.length > rememberedLines) last.shift();
    });
  }
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('close', (code, signal) => {
      resolve([`ended with ${code ?? signal ?? 'no status'}`, ...last].join('\n'));
    });
  });
  return { pid: child.pid ?? null, ended, kill: (signal) => child.kill(signal) };
}
