import { endpoint } from '../../support/testkit.ts';
import type { TestNamespace } from './namespace.ts';
import { clientPod, serverPod, strict } from './workloads.ts';

const port = 8080;
const echoPort = 8081;

/** Where a server can be reached. */
export interface Reached {
  readonly web: string;
  readonly echo: string;
  readonly port: number;
}

/**
 * A server that takes nothing in plain text, with a client on its node (`near`) and one on another (`far`), and one in a namespace
 * that is outside the mesh (`stranger`).
 */
export async function startFarAndNear(shop: TestNamespace, outside: TestNamespace): Promise<Reached> {
  await shop.apply(strict);
  const [[server]] = await Promise.all([
    shop.start(
      serverPod('web', [`whoami@[::]:${port}`, `echo@[::]:${echoPort}`], { node: 1 }),
      clientPod('near', { node: 1 }),
      clientPod('far', { node: 2 }),
    ),
    outside.start(clientPod('stranger', { node: 2 })),
  ]);
  const address = server?.status.podIP ?? '';
  return { web: endpoint(address, port), echo: endpoint(address, echoPort), port };
}
