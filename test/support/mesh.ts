import type { Agent, AgentOptions } from './agent.ts';
import { findLines } from './access-log.ts';
import type { AccessLine, AccessQuery } from './access-log.ts';
import type { ControlProcess } from './control-process.ts';
import { namespace, service } from './manifests.ts';
import type { Manifest, PodManifest } from './manifests.ts';
import { sum } from './metrics.ts';
import type { LabelQuery } from './metrics.ts';
import type { Running } from './processes.ts';
import { Rig } from './rig.ts';
import type { RigOptions } from './rig.ts';
import { capture, endpoint, serve } from './testkit.ts';
import type { CaptureResult } from './testkit.ts';
import { podInterface } from './topology.ts';
import type { PodPlan } from './topology.ts';
import { waitFor } from './wait.ts';

export type Member = Partial<PodManifest> & Pick<PodManifest, 'namespace'>;

/** As a rig's, but with a control plane unless `feed` says otherwise. */
export interface MeshOptions extends RigOptions {
  /** Pods that have a document, all in namespaces of the mesh; the others are strangers to it. */
  readonly members: Readonly<Record<string, Member>>;
  /** Servers by pod, as `serve` takes them. */
  readonly servers?: Readonly<Record<string, readonly string[]>>;
  readonly documents?: readonly Manifest[];
  /** Places of the nodes that run an agent; both unless given. */
  readonly agents?: readonly number[];
  readonly agentOptions?: Partial<AgentOptions>;
}

/** A rig with members, servers, a control plane and agents that are ready. */
export class Mesh {
  readonly rig: Rig;
  readonly #options: MeshOptions;
  readonly #agents = new Map<number, Agent>();
  #edits = 0;

  private constructor(rig: Rig, options: MeshOptions) {
    this.rig = rig;
    this.#options = options;
  }

  static async create(options: MeshOptions): Promise<Mesh> {
    const mesh = new Mesh(await Rig.create({ feed: 'control', ...options }), options);
    try {
      await mesh.#start();
    } catch (error) {
      await mesh.remove();
      throw error;
    }
    return mesh;
  }

  async #start(): Promise<void> {
    const { members, servers = {}, documents = [], agents = this.rig.nodes.map((_, place) => place) } = this.#options;
    const spaces = new Set(Object.values(members).map((member) => member.namespace));
    await this.rig.manifests.write(
      'namespaces',
      [...spaces].map((name) => namespace(name)),
    );
    for (const name of Object.keys(members)) await this.writePod(name);
    await this.#write('documents', documents);
    await Promise.all(Object.entries(servers).map(([name, list]) => this.serve(name, list)));
    await this.rig.prepare();
    await Promise.all(agents.map((place) => this.startAgent(place)));
  }

  async startAgent(place: number, options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await this.rig.startAgent(place, { ...this.#options.agentOptions, ...options });
    this.#agents.set(place, agent);
    return agent;
  }

  agent(place: number): Agent {
    const agent = this.#agents.get(place);
    if (agent === undefined) throw new RangeError(`no agent runs on node ${place}`);
    return agent;
  }

  agentOf(pod: string): Agent {
    return this.agent(this.rig.pod(pod).node);
  }

  pod(name: string): PodPlan {
    return this.rig.pod(name);
  }

  netns(name: string): string {
    return this.rig.pod(name).netns;
  }

  at(name: string, port: number | string, family: 'ipv4' | 'ipv6' = 'ipv4'): string {
    return endpoint(this.rig.pod(name)[family], port);
  }

  serve(name: string, servers: readonly string[]): Promise<Running> {
    return serve(this.netns(name), name, servers);
  }

  /** Writes a member's document, changed where `change` says so, and does not wait. */
  async writePod(name: string, change: Partial<PodManifest> = {}): Promise<void> {
    const member = this.#options.members[name];
    if (member === undefined) throw new RangeError(`${name} is no member`);
    await this.#write(`pod-${name}`, [this.rig.podManifest(name, { ...member, ...change })]);
  }

  /** With a mark in the same file: it shows that the file is in force, also where the documents themselves change nothing. */
  async #write(name: string, manifests: readonly Manifest[]): Promise<void> {
    const ports = { [++this.#edits]: 1 };
    const mark = service({ name: `mark-${name}`, namespace: 'of-the-rig', vips: ['None'], ports, selector: {} });
    await this.rig.manifests.write(name, [...manifests, mark]);
  }

  async #enforced(change: () => Promise<void>): Promise<void> {
    if (this.rig.feed === 'manifests') return this.#enforcedByEach(change);
    const before = await this.rig.control.generation();
    await change();
    const nodes = [...this.#agents.values()].map(({ options }) => options.node);
    await this.rig.control.reached(nodes, before);
  }

  async #enforcedByEach(change: () => Promise<void>): Promise<void> {
    const before = new Map<Agent, number>();
    for (const agent of this.#agents.values()) before.set(agent, await generationOf(agent));
    await change();
    for (const [agent, old] of before) {
      await waitFor(async () => (await generationOf(agent)) > old, { what: `an edit on ${agent.options.node}` });
    }
  }

  /** Changes a member's document and waits until every agent decides by it. */
  changePod(name: string, change: Partial<PodManifest> = {}): Promise<void> {
    return this.#enforced(() => this.writePod(name, change));
  }

  /** Puts documents in force under a name; the same name again replaces them. */
  apply(name: string, manifests: readonly Manifest[]): Promise<void> {
    return this.#enforced(() => this.#write(name, manifests));
  }

  retract(name: string): Promise<void> {
    return this.apply(name, []);
  }

  /** Runs with documents in force, and takes them away again. */
  async under<T>(manifests: readonly Manifest[], run: () => Promise<T>): Promise<T> {
    await this.apply('passing', manifests);
    try {
      return await run();
    } finally {
      await this.retract('passing');
    }
  }

  /** The process that reads the manifests: what it says of their mistakes is in its log and metrics. */
  get reader(): Agent | ControlProcess {
    return this.rig.feed === 'control' ? this.rig.control : this.agent(0);
  }

  async manifestErrors(): Promise<number> {
    return sum(await this.reader.metrics(), 'ambit_manifest_errors');
  }

  /** The first line that fits, as soon as it is written. */
  line(place: number, query: AccessQuery): Promise<AccessLine> {
    const agent = this.agent(place);
    const what = `an access-log line with ${JSON.stringify(query, (_, value: unknown) => (value instanceof RegExp ? value.source : value))}`;
    return waitFor(async () => findLines(await agent.accessLog(), query).at(-1), { timeout: 5_000, what });
  }

  /** What ran, and by how much a counter of an agent grew meanwhile; waits until it grew by `least`. */
  async growth<T>(
    place: number,
    name: string,
    labels: LabelQuery,
    run: () => Promise<T>,
    least = 0,
  ): Promise<readonly [T, number]> {
    const agent = this.agent(place);
    const before = sum(await agent.metrics(), name, labels);
    const value = await run();
    const grown = async (): Promise<number> => sum(await agent.metrics(), name, labels) - before;
    if (least > 0) {
      const what = `growth of ${name}${JSON.stringify(labels)} by ${least}`;
      await waitFor(async () => (await grown()) >= least, { timeout: 5_000, what });
    }
    return [value, await grown()];
  }

  /** What ran, and what a pod's veth carried meanwhile. */
  async heard<T>(pod: string, needles: readonly string[], run: () => Promise<T>): Promise<readonly [T, CaptureResult]> {
    const listening = await capture(this.netns(pod), podInterface, needles);
    const value = await run();
    return [value, await listening.finish()];
  }

  async remove(): Promise<void> {
    await this.rig.remove();
  }
}

async function generationOf(agent: Agent): Promise<number> {
  return sum(await agent.metrics(), 'ambit_state_generation');
}
