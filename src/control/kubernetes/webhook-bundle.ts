import type { WatchingClient } from '../../kube/kube-client.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { Reflector } from '../../kube/reflector.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import { WorkQueue } from '../../kube/work-queue.ts';
import type { Random, Timers } from '../../timing/timers.ts';

export interface WebhookBundleDependencies {
  readonly client: WatchingClient;
  /** Name of the ValidatingWebhookConfiguration. */
  readonly name: string;
  /** PEM of the roots that the webhook's certificate leads to. */
  readonly roots: string;
  readonly timers: Timers;
  readonly random: Random;
  readonly observe: (kind: string) => ReflectorObserver;
  readonly onFailure: (name: string, error: unknown, failures: number) => void;
}

interface Webhook {
  readonly clientConfig?: { readonly caBundle?: string };
}

const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

/**
 * Keeps our roots in the configuration by which the API server calls the webhook: an installer cannot know them, and one that is
 * applied again takes them out. For the leader only; resolves after the signal.
 */
export async function keepWebhookBundle(dependencies: WebhookBundleDependencies, signal: AbortSignal): Promise<void> {
  const { client, name, timers, random, observe, onFailure } = dependencies;
  const bundle = Buffer.from(dependencies.roots).toString('base64');
  const configurations = new Reflector<readonly Webhook[]>({
    client,
    path,
    selectors: { fieldSelector: `metadata.name=${name}` },
    read: webhooksOf,
    timers,
    random,
    observer: observe('validatingwebhookconfigurations'),
  });
  const queue = new WorkQueue({
    work: async () => {
      const webhooks = configurations.get(name) ?? [];
      const body = webhooks.flatMap(({ clientConfig }, index) =>
        clientConfig?.caBundle === bundle
          ? []
          : [{ op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: bundle }],
      );
      if (body.length === 0) return;
      await client.send({ method: 'PATCH', path: `${path}/${name}`, contentType: 'application/json-patch+json', body });
    },
    concurrency: 1,
    timers,
    random,
    onFailure,
  });
  configurations.listen(() => {
    queue.add(name);
  });
  await configurations.run(signal);
  await queue.stop();
}

function webhooksOf(object: KubeObject): readonly Webhook[] {
  return 'webhooks' in object && Array.isArray(object.webhooks) ? (object.webhooks as readonly Webhook[]) : [];
}
