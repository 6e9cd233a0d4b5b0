import { z } from 'zod';
import type { WatchingClient } from '../../kube/kube-client.ts';
import { isNotFound } from '../../kube/kube-error.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { Reflector } from '../../kube/reflector.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { withDeadline } from '../../timing/deadline.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { nodeSelectionSchema, selectsNode } from './node-selection.ts';

export interface OwnDaemonSetDependencies {
  readonly client: WatchingClient;
  readonly namespace: string;
  readonly name: string;
  /** Of this agent. */
  readonly node: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly observer: ReflectorObserver;
  readonly logger: Logger;
}

type Presence = 'there' | 'being deleted';

const DEADLINE_MS = 3000;

const metadataSchema = z.object({ metadata: z.object({ deletionTimestamp: z.string().nullish() }) });
const specSchema = z.object({ spec: z.object({ template: z.object({ spec: nodeSelectionSchema }) }) });
const nodeSchema = z.object({ metadata: z.object({ labels: z.record(z.string(), z.string()).nullish() }) });

/** The DaemonSet that this agent is a pod of. */
export class OwnDaemonSet {
  readonly #dependencies: OwnDaemonSetDependencies;
  readonly #reflector: Reflector<Presence>;
  readonly #ending = new AbortController();
  #synced = false;
  #running: Promise<void> = Promise.resolve();

  constructor(dependencies: OwnDaemonSetDependencies) {
    this.#dependencies = dependencies;
    const { client, namespace, name, timers, random, observer } = dependencies;
    this.#reflector = new Reflector<Presence>({
      client,
      path: `/apis/apps/v1/namespaces/${namespace}/daemonsets`,
      selectors: { fieldSelector: `metadata.name=${name}` },
      metadataOnly: true,
      read: presenceOf,
      timers,
      random,
      observer,
    });
    void this.#reflector.synced.then(() => (this.#synced = true));
  }

  /** Follows it, because whoever deletes it may delete the right to ask for it in the next moment. */
  start(): void {
    this.#running = this.#reflector.run(this.#ending.signal);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  /**
   * Whether this agent ends for good, because its DaemonSet was deleted or is not for this node any more, and not to make room for
   * its successor. Who cannot be asked has not said so: then everything stays, closed.
   */
  async endsForGood(): Promise<boolean> {
    const { timers, logger } = this.#dependencies;
    if (this.#isKnownToGo()) return true;
    try {
      const late = (): Error => new Error(`no answer within ${DEADLINE_MS / 1000} s`);
      return await withDeadline(DEADLINE_MS, timers, late, (signal) => this.#ask(signal));
    } catch (error) {
      if (this.#isKnownToGo()) return true;
      logger.warn(errorFields(error), 'it is not known whether this agent ends for good: its pods stay captured');
      return false;
    }
  }

  #isKnownToGo(): boolean {
    const { namespace, name } = this.#dependencies;
    return this.#synced && this.#reflector.get(`${namespace}/${name}`) !== 'there';
  }

  async #ask(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, node } = this.#dependencies;
    const read = (path: string): Promise<unknown> => client.send({ method: 'GET', path, signal });
    const object = await unlessMissing(read(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`));
    if (object === null || isBeingDeleted(object)) return true;
    // A node that is deleted takes its pods with it, and nobody is left to be let go of.
    const found = await unlessMissing(read(`/api/v1/nodes/${node}`));
    if (found === null) return false;
    const { labels } = nodeSchema.parse(found).metadata;
    return !selectsNode(specSchema.parse(object).spec.template.spec, { name: node, labels: labels ?? {} });
  }
}

function presenceOf(object: KubeObject): Presence {
  return isBeingDeleted(object) ? 'being deleted' : 'there';
}

function isBeingDeleted(object: unknown): boolean {
  return typeof metadataSchema.parse(object).metadata.deletionTimestamp === 'string';
}

async function unlessMissing(reading: Promise<unknown>): Promise<unknown> {
  try {
    return await reading;
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}
