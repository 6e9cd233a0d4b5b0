import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { root } from '../paths.ts';
import { exec, start } from '../processes.ts';
import type { Running } from '../processes.ts';
import { waitFor } from '../wait.ts';
import { proxyHeader } from './proxy-header.ts';
import type { HandedOver } from './proxy-header.ts';
import { staticBootstrap } from './static-bootstrap.ts';
import type { ResourcesJson } from './static-bootstrap.ts';

/** Fetching it the first time takes as long as the network does. */
const fetchTime = 300_000;

/** A second on an idle machine; one that is busy with other things is no failure of Envoy's. */
const startTime = 60_000;

let binary: Promise<string> | null = null;

/** The path of the pinned Envoy. */
export async function envoyBinary(): Promise<string> {
  binary ??= exec([join(root, 'scripts/envoy.sh')], { timeout: fetchTime }).then(({ stdout }) => stdout.trim());
  return binary;
}

/** What Envoy says against the resources; null: nothing. */
export async function validate(resources: ResourcesJson): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-envoy-'));
  try {
    const file = join(folder, 'bootstrap.json');
    // What validates forgets shared bounds in the wrong order (1.40) and falls over its own end; what runs does not.
    const unshared = JSON.stringify(staticBootstrap(resources)).replaceAll(/,"sharingName":"[^"]+"/g, '');
    writeFileSync(file, unshared);
    const command = [await envoyBinary(), '--mode', 'validate', '-c', file, '-l', 'error'];
    const { code, stderr, stdout } = await exec(command, { anyStatus: true });
    return code === 0 ? null : `${stderr}${stdout}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const defaultPeer = 'spiffe://cluster.local/ns/default/sa/client';

/** A real Envoy with the resources of one waypoint, on ports that the kernel chose. */
export class EnvoyProcess {
  readonly port: number;
  readonly #admin: string;
  readonly #process: Running;
  readonly #folder: string;
  readonly #sockets = new Set<Socket>();

  private constructor(process: Running, folder: string, admin: string, port: number) {
    this.#process = process;
    this.#folder = folder;
    this.#admin = admin;
    this.port = port;
  }

  static async start(resources: ResourcesJson): Promise<EnvoyProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'ambit-envoy-'));
    const file = join(folder, 'bootstrap.json');
    const admin = join(folder, 'admin');
    writeFileSync(file, JSON.stringify(staticBootstrap(resources)));
    const options = ['--concurrency', '1', '--disable-hot-restart', '--admin-address-path', admin, '-l', 'warning'];
    // Tests read the access log; by itself it comes every ten seconds.
    const log = ['--file-flush-interval-msec', '50'];
    const process = start([await envoyBinary(), '-c', file, ...options, ...log]);
    try {
      const address = await waitFor(() => readFileSync(admin, 'utf8'), {
        timeout: startTime,
        what: 'the address of the admin page',
      });
      const port = await waitFor(async () => listenerPort(address), { timeout: startTime, what: 'the listener' });
      return new EnvoyProcess(process, folder, address, port);
    } catch (error) {
      await process.stop('SIGKILL');
      throw new Error(`Envoy did not start: ${process.errorLines.slice(-5).join('\n')}`, { cause: error });
    }
  }

  /** A connection as the node's engine hands it over. */
  async connect(destination: string, port: number, given: Partial<HandedOver> = {}): Promise<Socket> {
    const socket = await this.connectPlain();
    const facts = new Map([[0xd0, defaultPeer]]);
    const source = destination.includes(':') ? 'fd00::c1' : '10.9.0.9';
    socket.write(proxyHeader({ source, sourcePort: 40_000, destination, destinationPort: port, facts, ...given }));
    return socket;
  }

  /** A connection without the header. */
  async connectPlain(): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1');
    this.#sockets.add(socket);
    socket.on('error', () => undefined); // that it ends is what the tests look at
    await once(socket, 'connect');
    return socket;
  }

  async admin(path: string): Promise<string> {
    return (await fetch(`http://${this.#admin}${path}`)).text();
  }

  get errors(): readonly string[] {
    return this.#process.errorLines;
  }

  get output(): readonly string[] {
    return this.#process.lines;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#process.stop('SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}

async function listenerPort(admin: string): Promise<number | null> {
  const response = await fetch(`http://${admin}/listeners?format=json`);
  const { listener_statuses: listeners } = (await response.json()) as {
    listener_statuses?: { local_address: { socket_address: { port_value: number } } }[];
  };
  return listeners?.[0]?.local_address.socket_address.port_value ?? null;
}
