import { enter } from './namespaces.ts';
import { testkitBinary } from './paths.ts';
import { exec, start } from './processes.ts';
import type { Running } from './processes.ts';

/** Result of one request: everything that an application could notice about it. */
export interface CallResult {
  readonly destination: string;
  readonly ok: boolean;
  readonly connected: boolean;
  readonly phase: 'socket' | 'connect' | 'send' | 'receive' | 'done';
  /** `ECONNREFUSED` and its like. */
  readonly error: string | null;
  readonly peer: string | null;
  readonly local: string | null;
  readonly sent: number;
  readonly received: number;
  readonly text: string;
  readonly end: 'none' | 'open' | 'fin' | 'reset' | 'timeout' | 'error';
  readonly connectMicros: number;
  readonly durationMicros: number;
}

/** What a `whoami` server answers. */
export interface WhoAnswer {
  readonly server: string;
  readonly peer: string;
  readonly local: string;
}

export interface CaptureResult {
  readonly packets: number;
  readonly bytes: number;
  /** Packets that the kernel could not hand over; only with 0 does an absence mean anything. */
  readonly dropped: number;
  /** How many packets held each text. */
  readonly needles: Readonly<Record<string, number>>;
  readonly flags: Readonly<Partial<Record<'SYN' | 'FIN' | 'RST', number>>>;
  /** `10.0.0.1 > 10.0.0.2:15008` → packets. */
  readonly flows: Readonly<Record<string, number>>;
  readonly otherFlows: number;
}

/** One connection of a storm that failed. */
export interface FailedConnection {
  /** Milliseconds since the epoch, when it had failed. */
  readonly at: number;
  readonly error: string;
  readonly phase: 'connect' | 'send' | 'receive';
  /** Where it came from: what an access log calls it by. null: it was never connected. */
  readonly local: string | null;
  readonly destination: string;
  /** From the connect to the failure. */
  readonly milliseconds: number;
}

export interface StormResult {
  readonly connections: number;
  readonly failures: Readonly<Record<string, number>>;
  /** The first failures of each client. */
  readonly failed: readonly FailedConnection[];
  readonly rate: number;
  readonly perSecond: readonly number[];
  /** Microseconds, as p99. */
  readonly p50: number;
  readonly p99: number;
}

export interface PingPongResult {
  readonly roundTrips: number;
  readonly failures: readonly string[];
  readonly rate: number;
  /** Microseconds, as p99. */
  readonly p50: number;
  readonly p99: number;
}

/** Name queries; times in microseconds. */
export interface NamesResult {
  readonly answered: number;
  readonly lost: number;
  /** Answers without an address. */
  readonly wrong: number;
  readonly failures: readonly string[];
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

export interface StreamResult {
  readonly bytes: number;
  readonly failures: readonly string[];
  readonly gigabitsPerSecond: number;
}

/** Text of an address and a port. */
export function endpoint(address: string, port: number | string): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

async function run(netns: string, args: readonly string[], timeout: number): Promise<unknown[]> {
  const { code, stdout, stderr } = await exec(enter(netns, [testkitBinary, ...args]), { anyStatus: true, timeout });
  if (code !== 0 && code !== 1)
    throw new Error(`ambit-testkit ${args.join(' ')} ended with ${code ?? 'a signal'}: ${stderr}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

async function runOne<T>(netns: string, args: readonly string[], timeout: number): Promise<T> {
  const [result] = await run(netns, args, timeout);
  if (result === undefined) throw new Error(`ambit-testkit ${args.join(' ')} printed no result`);
  return result as T; // the shape is the binary's, which is built from the same checkout
}

/** One request to each address. */
export async function calls(
  netns: string,
  addresses: readonly string[],
  options: readonly string[] = [],
): Promise<CallResult[]> {
  return (await run(netns, ['call', ...addresses, ...options], 60_000)) as CallResult[];
}

export async function call(netns: string, address: string, options: readonly string[] = []): Promise<CallResult> {
  return runOne<CallResult>(netns, ['call', address, ...options], 60_000);
}

/** Ended by RST: seen by whichever call of the application came next. Never an orderly end, never a time-out. */
export function wasReset({ ok, end, error }: CallResult): boolean {
  return !ok && end !== 'fin' && ['ECONNRESET', 'EPIPE', 'ECONNREFUSED'].includes(error ?? '');
}

/** The answer of a `whoami` server. @throws Error when the call failed. */
export function whoIn(result: CallResult): WhoAnswer {
  if (!result.ok) throw new Error(`the call failed: ${JSON.stringify(result)}`);
  return JSON.parse(result.text) as WhoAnswer;
}

export async function storm(netns: string, args: readonly string[], timeout = 120_000): Promise<StormResult> {
  return runOne<StormResult>(netns, ['storm', ...args], timeout);
}

export async function pingPong(netns: string, args: readonly string[], timeout = 60_000): Promise<PingPongResult> {
  return runOne<PingPongResult>(netns, ['pingpong', ...args], timeout);
}

export async function askNames(
  netns: string,
  server: string,
  name: string,
  options: readonly string[] = [],
): Promise<NamesResult> {
  return runOne<NamesResult>(netns, ['names', server, name, ...options], 60_000);
}

export async function stream(netns: string, args: readonly string[], timeout = 60_000): Promise<StreamResult> {
  return runOne<StreamResult>(netns, ['stream', ...args], timeout);
}

export interface Page {
  /** 0: no answer at all, and `error` says why. */
  readonly status: number;
  readonly body: string;
  readonly error: string | null;
}

export async function fetchPage(netns: string, address: string, path: string, method = 'GET'): Promise<Page> {
  return runOne<Page>(netns, ['fetch', address, '--path', path, '--method', method], 20_000);
}

/** Servers such as `whoami@[::]:8080`; resolves when all listen. */
export async function serve(netns: string, name: string, servers: readonly string[]): Promise<Running> {
  const running = start(enter(netns, [testkitBinary, 'serve', ...servers, '--name', name]));
  await running.line((line) => line.includes('"ready"'));
  return running;
}

/** Listens from now on; `finish` gives what was seen. */
export async function capture(
  netns: string,
  networkInterface: string,
  needles: readonly string[] = [],
): Promise<{ finish(): Promise<CaptureResult> }> {
  const wanted = needles.flatMap((needle) => ['--needle', needle]);
  const running = start(enter(netns, [testkitBinary, 'capture', '--interface', networkInterface, ...wanted]));
  await running.line((line) => line.includes('"ready"'));
  return {
    async finish(): Promise<CaptureResult> {
      await running.finish();
      return JSON.parse(await running.line((line) => line.includes('"done"'))) as CaptureResult;
    },
  };
}

/** Connections that stay open; resolves when all are. */
export async function hold(netns: string, args: readonly string[], timeout = 10_000): Promise<Running> {
  const running = start(enter(netns, [testkitBinary, 'hold', ...args]));
  await running.line((line) => line.includes('"ready"'), timeout);
  return running;
}

export interface ScanResult {
  readonly started: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** Many connects to addresses or ports in a row. */
export function scan(netns: string, args: readonly string[], timeout = 120_000): Promise<ScanResult> {
  return runOne<ScanResult>(netns, ['scan', ...args], timeout);
}
