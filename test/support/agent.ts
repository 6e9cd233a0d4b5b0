import { readAccessLog } from './access-log.ts';
import type { AccessLine } from './access-log.ts';
import { MeshProcess } from './mesh-process.ts';
import { ambitBinary } from './paths.ts';

/** Where an agent has the mesh and its certificates from. */
export type AgentFeed =
  | { readonly kind: 'manifests'; readonly manifests: string; readonly ca: string }
  | { readonly kind: 'control'; readonly address: string; readonly tokenFile: string; readonly rootFile: string };

export interface AgentOptions {
  readonly node: string;
  /** Namespace that plays the node. */
  readonly netns: string;
  readonly feed: AgentFeed;
  readonly stateDir: string;
  readonly accessLog: string;
  readonly bpffs: string;
  /** Further flags. */
  readonly flags?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** What runs instead of bin/ambit. */
  readonly program?: readonly string[];
}

/** One `ambit agent` in the namespace of its node. */
export class Agent extends MeshProcess<'admin'> {
  readonly options: AgentOptions;
  protected readonly ports = { admin: 15000, metrics: 15020, readiness: 15021 } as const;

  constructor(options: AgentOptions) {
    const { node, netns, environment, program = [ambitBinary] } = options;
    super({
      name: `agent ${node}`,
      netns,
      command: [...program, 'agent', ...agentFlags(options)],
      environment,
      readinessPath: '/healthz/ready',
    });
    this.options = options;
  }

  accessLog(): Promise<AccessLine[]> {
    return readAccessLog(this.options.accessLog);
  }
}

function agentFlags({ node, feed, stateDir, accessLog, bpffs, flags = [] }: AgentOptions): string[] {
  const paths = { ...feedFlags(feed), 'state-dir': stateDir, 'access-log': accessLog, bpffs };
  const named = Object.entries(paths).flatMap(([name, value]) => [`--${name}`, value]);
  return ['--node', node, ...named, ...flags];
}

function feedFlags(feed: AgentFeed): Readonly<Record<string, string>> {
  if (feed.kind === 'manifests') return { manifests: feed.manifests, ca: feed.ca };
  return { control: feed.address, 'token-file': feed.tokenFile, 'root-file': feed.rootFile };
}
