import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ambitBinary } from '../../support/paths.ts';
import { exec, start } from '../../support/processes.ts';
import type { Running } from '../../support/processes.ts';
import type { Cluster } from './cluster.ts';
import { uniqueName } from './cluster.ts';
import type { TestNamespace } from './namespace.ts';
import { serviceAccount } from './policies.ts';

const system = 'istio-system';

/** Rules of a Role, as Kubernetes has them. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Config {
  readonly contexts: readonly { readonly name: string; readonly context: Readonly<Record<string, string>> }[];
  readonly 'current-context': string;
}

/** Somebody who may do what the rules say, and no more, with a kubeconfig of their own. */
export class Operator {
  readonly #cluster: Cluster;
  readonly #folder: string;
  readonly #name: string;
  #process: Running | null = null;
  #forwarding: Promise<string> | null = null;

  private constructor(cluster: Cluster, folder: string, name: string) {
    this.#cluster = cluster;
    this.#folder = folder;
    this.#name = name;
  }

  /** @param home where the account is, and the rules of its own namespace hold */
  static async create(
    home: TestNamespace,
    rules: { readonly system: Rule[]; readonly home: Rule[] },
  ): Promise<Operator> {
    const { cluster } = home;
    const name = uniqueName('operator');
    await home.apply(serviceAccount(name));
    for (const [namespace, own] of [[system, rules.system] as const, [home.name, rules.home] as const]) {
      await cluster.apply(...roleFor(name, home.name, namespace, own));
    }
    const token = await cluster.kubectl(['create', 'token', name, '--namespace', home.name, '--duration', '10m']);
    const operator = new Operator(cluster, await mkdtemp(join(tmpdir(), 'ambit-operator-')), name);
    await writeFile(operator.#kubeconfig, await kubeconfigFor(cluster, token.trim()), { mode: 0o600 });
    return operator;
  }

  /** `ambit` of this machine, with the operator's kubeconfig. */
  async ambit(words: readonly string[]): Promise<string> {
    return (await exec([ambitBinary, ...words, '--kubeconfig', this.#kubeconfig], { timeout: 60_000 })).stdout;
  }

  /** The same, asking the debug pages of a replica of the control plane, to which a port is forwarded first. */
  async ambitAtControl(words: readonly string[]): Promise<string> {
    const forwarding = (this.#forwarding ??= this.#forward());
    const url = `http://${await forwarding}`;
    return (await exec([ambitBinary, ...words, '--control-debug', url], { timeout: 60_000 })).stdout;
  }

  /** Fails where the rights do not reach. */
  async exec(command: readonly string[]): Promise<void> {
    await this.#kubectl(['exec', '--namespace', system, 'deploy/istiod', '--', ...command]);
  }

  async remove(): Promise<void> {
    await this.#process?.stop();
    await this.#cluster.kubectl(['delete', 'role,rolebinding', this.#name, '--namespace', system]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** @returns where its end is here */
  async #forward(): Promise<string> {
    const words = ['port-forward', '--address', '127.0.0.1', '--namespace', system, 'deploy/istiod', ':8080'];
    this.#process = start(this.#cluster.command([...words, '--kubeconfig', this.#kubeconfig]));
    const line = await this.#process.line((text) => text.startsWith('Forwarding from'), 30_000);
    return /from (\S+) /.exec(line)?.[1] ?? '';
  }

  #kubectl(args: readonly string[]): Promise<string> {
    return this.#cluster.kubectl(['--kubeconfig', this.#kubeconfig, ...args]);
  }

  get #kubeconfig(): string {
    return join(this.#folder, 'kubeconfig');
  }
}

function roleFor(name: string, home: string, namespace: string, rules: readonly Rule[]) {
  const group = 'rbac.authorization.k8s.io';
  const metadata = { name, namespace };
  return [
    { apiVersion: `${group}/v1`, kind: 'Role', metadata, rules },
    {
      apiVersion: `${group}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: group, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: home }],
    },
  ];
}

/** The administrator's, with the token in place of who that is. */
async function kubeconfigFor(cluster: Cluster, token: string): Promise<string> {
  const config = JSON.parse(await cluster.kubectl(['config', 'view', '--raw', '--output', 'json'])) as Config;
  const contexts = config.contexts.map(({ name, context }) => ({ name, context: { ...context, user: 'operator' } }));
  return JSON.stringify({ ...config, contexts, users: [{ name: 'operator', user: { token } }] });
}
