import type { Running } from '../../support/processes.ts';
import type { TestNamespace } from './namespace.ts';
import type { KubernetesObject } from './objects.ts';
import { serverPod } from './workloads.ts';
import type { PodOptions } from './workloads.ts';

/** Programs of Node in the mesh's own image: what the test kit has no words for. */
const image = 'ambit.local/ambit:dev';
const node = '/usr/local/bin/node';

/** Answers on port 8080 with its name and what it was asked. */
const serverProgram = `
  const { createServer } = require('node:http');
  const [name] = process.argv.slice(1);
  createServer(({ method, url, headers }, response) => {
    response.setHeader('x-server', name);
    response.end(JSON.stringify({ server: name, method, url, headers }));
  }).listen(8080, '::');
  process.on('SIGTERM', () => process.exit());`;

/** Asks as often as it is told to, one after the other, each on a connection of its own. */
const clientProgram = `
  const { url, count, ...options } = JSON.parse(process.argv[1]);
  const { request } = require(url.startsWith('https:') ? 'node:https' : 'node:http');
  const once = () => new Promise((resolve) => {
    const fail = ({ code }) => resolve({ status: 0, server: null, certificate: null, body: code });
    const sent = request(url, { ...options, agent: false, timeout: 30000 }, (response) => {
      let body = '';
      const server = response.headers['x-server'] ?? null;
      const certificate = response.socket.getPeerCertificate?.().serialNumber ?? null;
      response.on('data', (part) => (body += part));
      response.on('end', () => resolve({ status: response.statusCode, server, certificate, body }));
      response.on('error', fail);
    });
    sent.on('timeout', () => sent.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    sent.on('error', fail);
    sent.end();
  });
  (async () => {
    const answers = [];
    for (let i = 0; i < count; i++) answers.push(await once());
    console.log(JSON.stringify(answers));
  })();`;

/** Asks until a line of input comes: half of the askers on new connections, half on one that is kept. */
const loadProgram = `
  const { url, ...options } = JSON.parse(process.argv[1]);
  const { Agent, request } = require(url.startsWith('https:') ? 'node:https' : 'node:http');
  const results = {};
  let ending = false;
  const count = (what) => (results[what] = (results[what] ?? 0) + 1);
  const once = (agent) => new Promise((resolve) => {
    const end = (what) => { count((agent ? 'kept ' : 'new ') + what); resolve(); };
    const sent = request(url, { ...options, agent, timeout: 30000 }, (response) => {
      response.on('data', () => undefined);
      response.on('end', () => end(String(response.statusCode)));
      response.on('error', ({ code }) => end(code));
    });
    sent.on('timeout', () => sent.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
    sent.on('error', ({ code }) => end(code));
    sent.end();
  });
  const ask = async (agent) => {
    while (!ending) {
      await once(agent);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  process.stdin.once('data', () => (ending = true));
  const kept = () => new Agent({ keepAlive: true, maxSockets: 1 });
  console.log('asking');
  Promise.all([ask(false), ask(false), ask(kept()), ask(kept())]).then(() => {
    console.log(JSON.stringify(results));
    process.exit();
  });`;

export interface Answer {
  /** 0: there was none, and `body` is the error's code. */
  readonly status: number;
  /** Which one has answered; null: none of the servers. */
  readonly server: string | null;
  /** Serial number of the one that was shown; null: none was. */
  readonly certificate: string | null;
  readonly body: string;
}

/** Of a client that speaks TLS. */
interface Trust {
  /** Roots, PEM. */
  readonly ca?: string;
  /** Which server is asked for. */
  readonly servername?: string;
}

export interface Load extends Trust {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Asked extends Load {
  readonly method?: string;
  /** How often; once unless told. */
  readonly count?: number;
}

/** A pod that answers HTTP on port 8080. */
export function webPod(name: string, options: PodOptions = {}): KubernetesObject {
  const command = [node, '-e', serverProgram, name];
  const readinessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
  return serverPod(name, [], { ...options, container: { image, command, args: [], readinessProbe } });
}

/** A pod for `ask` and `WebLoad`. */
export function askerPod(name: string, options: PodOptions = {}): KubernetesObject {
  return serverPod(name, [], { ...options, container: { image, command: ['/bin/sleep', '86400'], args: [] } });
}

export async function ask(namespace: TestNamespace, pod: string, asked: Asked): Promise<readonly Answer[]> {
  const order = JSON.stringify({ count: 1, ...asked });
  const { stdout } = await namespace.exec(pod, [node, '-e', clientProgram, order]);
  return JSON.parse(stdout) as readonly Answer[];
}

/** Requests of a pod that go on while something is changed. */
export class WebLoad {
  readonly #running: Running;

  private constructor(running: Running) {
    this.#running = running;
  }

  static async start(namespace: TestNamespace, pod: string, load: Load): Promise<WebLoad> {
    const running = namespace.background(pod, [node, '-e', loadProgram, JSON.stringify(load)]);
    await running.line((line) => line === 'asking', 30_000);
    return new WebLoad(running);
  }

  /** How many requests ended how: `new 200`, `kept ECONNRESET`. */
  async finish(): Promise<Readonly<Record<string, number>>> {
    const last = this.#running.line((line) => line.startsWith('{'), 30_000);
    this.#running.write('\n');
    return JSON.parse(await last) as Readonly<Record<string, number>>;
  }
}
