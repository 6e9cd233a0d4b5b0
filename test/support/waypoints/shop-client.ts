import { enter } from '../namespaces.ts';
import { root } from '../paths.ts';
import { start } from '../processes.ts';
import type { Running } from '../processes.ts';
import type { Order, Outcome } from './orders.ts';
import { servicePorts } from './ports.ts';

export type Wish = Partial<Omit<Order, 'id'>> & Pick<Order, 'host'>;

/** A process inside a pod's namespace that asks over HTTP. */
export class ShopClient {
  readonly #process: Running;
  #serial = 0;

  private constructor(process: Running) {
    this.#process = process;
  }

  static async start(netns: string): Promise<ShopClient> {
    const running = start(enter(netns, ['node', `${root}dist/test/support/waypoints/client-main.js`]));
    await running.line((line) => line === 'ready', 30_000);
    return new ShopClient(running);
  }

  async ask(wish: Wish): Promise<Outcome> {
    const order: Order = {
      ...{ id: ++this.#serial, port: servicePorts.web, method: 'GET', path: '/', headers: {}, http2: false, tls: null },
      ...{ keepAlive: true, count: 1, duration: 0, concurrency: 1, timeout: 10_000, ...wish },
    };
    this.#process.write(`${JSON.stringify(order)}\n`);
    const reply = new RegExp(`^{"id":${order.id},`);
    const limit = order.duration + order.count * order.timeout + 10_000;
    return JSON.parse(await this.#process.line((line) => reply.test(line), limit)) as Outcome;
  }

  async stop(): Promise<void> {
    await this.#process.stop('SIGKILL');
  }
}

/** Servers of a replica, named after it. */
export function startShopServer(netns: string, name: string): Promise<Running> {
  return startProgram(netns, ['server-main.js', name]);
}

/** Who is asked by policies of action CUSTOM. */
export function startAuthorizer(netns: string): Promise<Running> {
  return startProgram(netns, ['authorizer-main.js']);
}

async function startProgram(netns: string, [file = '', ...words]: readonly string[]): Promise<Running> {
  const running = start(enter(netns, ['node', `${root}dist/test/support/waypoints/${file}`, ...words]));
  await running.line((line) => line === 'ready', 30_000);
  return running;
}
