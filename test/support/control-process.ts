import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { typeUrls } from '../../src/wds/names.ts';

import { MeshProcess } from './mesh-process.ts';
import { sum } from './metrics.ts';
import { ambitBinary } from './paths.ts';
import { exec } from './processes.ts';
import { waitFor } from './wait.ts';

/** How long an edit of a large mesh may take to govern every agent, on a busy machine. Milliseconds. */
const reachLimit = 30_000;

export interface ControlOptions {
  /** Namespace that it runs in, apart from those of the nodes. */
  readonly netns: string;
  readonly manifests: string;
  readonly stateDir: string;
  /** Further flags. */
  readonly flags?: readonly string[];
}

const clientsSchema = z.array(
  z.object({
    node: z.string().nullable(),
    types: z.array(
      z.object({
        type: z.string(),
        pending: z.boolean(),
        sent: z.string().nullable(),
        acknowledged: z.string().nullable(),
      }),
    ),
  }),
);

type Client = z.infer<typeof clientsSchema>[number];

/** One `ambit control`, with a CA of its own in its state folder. */
export class ControlProcess extends MeshProcess<'debug'> {
  readonly options: ControlOptions;
  protected readonly ports = { metrics: 15014, readiness: 8080, debug: 8080 } as const;

  constructor(options: ControlOptions) {
    const { netns, manifests, stateDir, flags = [] } = options;
    const command = [ambitBinary, 'control', '--manifests', manifests, '--state-dir', stateDir, ...flags];
    super({ name: 'control plane', netns, command, environment: undefined, readinessPath: '/ready' });
    this.options = options;
  }

  /** How many states of the mesh were put in force. */
  async generation(): Promise<number> {
    return sum(await this.metrics(), 'ambit_state_generation');
  }

  /** Resolves when a state later than `generation` is in force here and at each of the nodes' agents. */
  async reached(nodes: readonly string[], generation: number): Promise<void> {
    const here = async (): Promise<boolean> => (await this.generation()) > generation;
    await waitFor(here, { timeout: reachLimit, what: 'an edit in the control plane' });
    const behind = async (): Promise<readonly string[]> => {
      const clients = await this.clients();
      return nodes.filter((node) => !clients.some((client) => client.node === node && isInStep(client)));
    };
    const everywhere = async (): Promise<boolean> => (await behind()).length === 0;
    await waitFor(everywhere, { timeout: reachLimit, what: `an edit at ${nodes.join(', ')}` });
  }

  async clients(): Promise<readonly Client[]> {
    const { status, body, error } = await this.page('debug', '/debug/syncz');
    if (status !== 200) throw new Error(`no /debug/syncz: ${error ?? `status ${status}`}`);
    return clientsSchema.parse(JSON.parse(body));
  }
}

/** An agent acknowledges what is in force at its node. One that has just come has asked for settings alone at first. */
function isInStep({ types }: Client): boolean {
  return (
    types.some(({ type }) => type === typeUrls.address) &&
    types.every(({ pending, sent, acknowledged }) => !pending && sent === acknowledged)
  );
}

/** `ambit control token` for a node, into a file for its agent alone. @returns the file's path */
export async function writeToken(stateDir: string, node: string, flags: readonly string[] = []): Promise<string> {
  const command = [ambitBinary, 'control', 'token', '--node', node, '--state-dir', stateDir, ...flags];
  const { stdout } = await exec(command);
  const path = join(stateDir, `${node}.token`);
  await writeFile(path, stdout, { mode: 0o600 });
  return path;
}
