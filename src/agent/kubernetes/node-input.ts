import { KubernetesInput } from '../../kube/kubernetes-input.ts';
import type { WatchingClient } from '../../kube/kube-client.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { builtInKind, metadataOfKind } from '../../kube/watched-kind.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import type { Random, Timers } from '../../timing/timers.ts';

export interface NodeInputDependencies {
  readonly node: string;
  readonly client: WatchingClient;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'kubeFailures'>;
}

/** The pods of this node, and the labels of all namespaces; what holds in the mesh is the control plane's to say. */
export function createNodeInput(dependencies: NodeInputDependencies): KubernetesInput {
  const { node, client, timers, random, logger } = dependencies;
  const problems = new Map<string, string>();
  return new KubernetesInput({
    kinds: [
      { ...builtInKind('Pod', 'v1', 'pods'), fieldSelector: `spec.nodeName=${node}` },
      metadataOfKind('Namespace', 'v1', 'namespaces'),
    ],
    isUnreadablePolicy: null,
    client,
    timers,
    random,
    observe: (kind) => observerOf(kind, dependencies),
    onProblem: (resource, problem) => {
      const known = problems.get(resource);
      if (problem === null) problems.delete(resource);
      else problems.set(resource, problem);
      if (problem !== null && problem !== known) {
        logger.error({ resource, problem }, 'an object cannot be read; its last good version stays');
      }
    },
  });
}

/** Failures are told when they begin and when they end, not each time. */
export function observerOf(
  kind: string,
  { logger, metrics }: Pick<NodeInputDependencies, 'logger' | 'metrics'>,
): ReflectorObserver {
  return {
    listed: (objects, pages) => {
      logger.debug({ kind, objects, pages }, 'listed');
    },
    watchOpened: () => undefined,
    event: () => undefined,
    failed: (error, repeated) => {
      metrics.kubeFailures.inc({ kind });
      const fields = { ...errorFields(error), kind, repeated };
      if (repeated === 1) logger.warn(fields, 'the API server does not answer well; what is known stays in force');
      else logger.debug(fields, 'the API server still does not answer well');
    },
    recovered: () => {
      logger.info({ kind }, 'the API server answers again');
    },
    listenerFailed: (error) => {
      logger.error({ ...errorFields(error), kind }, 'an object could not be taken in');
    },
  };
}
