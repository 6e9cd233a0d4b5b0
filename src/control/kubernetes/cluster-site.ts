import { setMaxListeners } from 'node:events';
import type { ControlPlaneSettings } from '../../config/control-plane-settings.ts';
import { loadAuthority } from '../../ca/authority.ts';
import { KubernetesInput } from '../../kube/kubernetes-input.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { LeaderElection } from '../../kube/leader-election.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import type { Condition } from '../../model/workload.ts';
import type { ControlMetrics } from '../../telemetry/control-metrics.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logging } from '../../telemetry/logger.ts';
import { pause } from '../../timing/pause.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import type { NamedReference } from '../named-reference.ts';
import type { ControlSite, SiteParts } from '../site.ts';
import { deployWaypoints } from '../waypoints/deploy-waypoints.ts';
import { deploymentTerms } from '../waypoints/deployment-terms.ts';
import { openClusterAuthority } from './authority-secret.ts';
import { tokenAudience } from '../certificates/tokens.ts';
import { AddressWriter } from './address-writer.ts';
import { clusterTokens } from './cluster-tokens.ts';
import { NamedObjects } from './named-objects.ts';
import { leaderLease, validatorNameIn } from './names.ts';
import { RootPublisher } from './root-publisher.ts';
import { apiConditions, StatusWriter } from './status-writer.ts';
import { TokenReviewer } from './token-reviewer.ts';
import { isUnreadablePolicy, watchedKinds } from './watched-kinds.ts';
import { keepWebhookBundle } from './webhook-bundle.ts';
import { WebhookServer } from './webhook-server.ts';

export interface ClusterSiteDependencies {
  readonly settings: ControlPlaneSettings;
  readonly client: KubeClient;
  readonly logging: Logging;
  readonly metrics: ControlMetrics;
  readonly timers: Timers;
  readonly random: Random;
}

/** How often what policies have become is compared with what their status says. */
const STATUS_EVERY_MS = 1000;
/** How long a start waits for Secrets that are named: where one API server answers for everything else, it does for these. */
const FOLLOWED_WITHIN_MS = 5000;

/** A mesh of a cluster: documents from its API, a CA in a Secret, tokens of its service accounts. */
export class ClusterSite implements ControlSite {
  readonly task = 'the API server';
  readonly captured = 'annotated';
  readonly presence = null;
  readonly input: NamedObjects;
  readonly #cluster: KubernetesInput;
  readonly #dependencies: ClusterSiteDependencies;
  /** By `Kind namespace/name`. */
  readonly #problems = new Map<string, string>();

  constructor(dependencies: ClusterSiteDependencies) {
    this.#dependencies = dependencies;
    const { client, timers, random, settings } = dependencies;
    this.#cluster = new KubernetesInput({
      kinds: watchedKinds,
      isUnreadablePolicy,
      client,
      timers,
      random,
      observe: this.#observe,
      onProblem: (resource, problem) => {
        this.#onProblem(resource, problem);
      },
    });
    this.input = new NamedObjects({
      input: this.#cluster,
      client,
      timers,
      random,
      observe: this.#observe,
      controlNamespace: settings.podNamespace,
    });
  }

  readonly follow = (references: readonly NamedReference[]): void => {
    this.input.follow(references);
  };

  readonly followed = (signal: AbortSignal): Promise<void> => this.input.answered(FOLLOWED_WITHIN_MS, signal);

  readonly problems = (): readonly Condition[] =>
    [...this.#problems].map(([resource, message]) => ({
      resource,
      type: 'ZtunnelAccepted',
      reason: 'Invalid',
      message: `${message} (its last good version stays in force; where none is known, a policy refuses all that it selects)`,
    }));

  openAuthority(): ReturnType<typeof openClusterAuthority> {
    const { settings, client, logging, timers } = this.#dependencies;
    if (settings.ca !== null) return loadAuthority(settings.ca);
    const logger = logging.component('ca');
    return openClusterAuthority({ client, namespace: settings.podNamespace, logger, now: () => timers.now() });
  }

  openVerifier(pods: Parameters<ControlSite['openVerifier']>[0]): ReturnType<ControlSite['openVerifier']> {
    const { settings, client, timers } = this.#dependencies;
    const reviewer = new TokenReviewer({ client, audience: tokenAudience, timers });
    const agents = new Set([`${settings.podNamespace}/${settings.agentAccount}`]);
    return Promise.resolve(clusterTokens({ reviewer, pods, agents }));
  }

  async attend(parts: SiteParts, signal: AbortSignal): Promise<void> {
    const { settings, logging, metrics } = this.#dependencies;
    const webhook = new WebhookServer({
      host: settings.address,
      port: settings.webhookPort,
      certificate: parts.certificate,
      logger: logging.component('webhook'),
      onReview: (allowed) => {
        metrics.admissions.inc({ result: allowed ? 'allowed' : 'refused' });
      },
    });
    await webhook.start();
    await this.#electionFor(parts).run(signal);
    await webhook.stop();
    await Promise.all([this.#cluster.stopped(), this.input.stopped()]);
  }

  #electionFor(parts: SiteParts): LeaderElection {
    const { settings, client, logging, metrics, timers } = this.#dependencies;
    const logger = logging.component('leader');
    return new LeaderElection({
      client,
      namespace: settings.podNamespace,
      name: leaderLease,
      identity: settings.podName,
      timers,
      lead: (signal) => this.#lead(parts, signal),
      observer: {
        leads: (leading) => {
          metrics.leader.set(leading ? 1 : 0);
          logger.info({ leading }, leading ? 'leads: writes roots and status, deploys waypoints' : 'leads no more');
        },
        failed: (error) => {
          logger.warn(errorFields(error), 'the lease could not be read or written; tried again');
        },
      },
    });
  }

  /** Everything that is written, and by one replica only. */
  async #lead({ authority, mesh, bound, refused, gateways }: SiteParts, signal: AbortSignal): Promise<void> {
    const { settings, client, timers, random, logging } = this.#dependencies;
    const logger = logging.component('writer');
    const onFailure = (name: string, error: unknown, failures: number): void => {
      logger.warn({ ...errorFields(error), name, failures }, 'a write failed; tried again');
    };
    const common = { client, roots: authority.roots, timers, random, observe: this.#observe, onFailure };
    // Each reflector listens, and Node takes more than ten for a leak.
    setMaxListeners(0, signal);
    const terms = deploymentTerms(settings);
    const clusterDomain = (): string => mesh().settings.clusterDomain;
    const notes = (): readonly Condition[] => [...mesh().conditions, ...refused()];
    await Promise.all([
      new RootPublisher(common).run(signal),
      deployWaypoints({ ...common, terms, clusterDomain, notes, reports: gateways }, signal),
      keepWebhookBundle({ ...common, name: validatorNameIn(settings.podNamespace) }, signal),
      this.#writeStatus({ mesh, bound, refused }, onFailure, signal),
      new AddressWriter({ ...common, entries: () => this.#cluster.documentsOf('ServiceEntry') }).run(signal),
    ]);
  }

  /** Once a second at most: what changes in a burst is written once. */
  async #writeStatus(
    { mesh, bound, refused }: Pick<SiteParts, 'mesh' | 'bound' | 'refused'>,
    onFailure: (name: string, error: unknown, failures: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, timers, random, metrics } = this.#dependencies;
    const onWritten = (): void => {
      metrics.statusWrites.inc();
    };
    const pathOf = (kind: string): string | null => this.#cluster.pathOf(kind);
    const writer = new StatusWriter({ client, timers, random, pathOf, onWritten, onFailure });
    for (let seen = ''; !signal.aborted;) {
      const notes = [...mesh().conditions, ...refused(), ...this.problems()];
      const wanted = apiConditions(acceptedOf(this.#cluster), notes, bound());
      const now = JSON.stringify([...wanted]);
      if (now !== seen) writer.update(wanted);
      if (seen === '') await takeBack(writer, onFailure, signal);
      seen = now;
      await pause(STATUS_EVERY_MS, timers, signal);
    }
    await writer.stop();
  }

  #onProblem(resource: string, problem: string | null): void {
    const { logging, metrics } = this.#dependencies;
    const known = this.#problems.get(resource);
    if (problem === null) this.#problems.delete(resource);
    else this.#problems.set(resource, problem);
    metrics.manifestErrors.set(this.#problems.size);
    if (problem !== null && problem !== known) {
      logging
        .component('kubernetes')
        .error({ resource, problem }, 'an object cannot be read; its last good version stays');
    }
  }

  /** Failures are told when they begin and when they end, not each time. */
  readonly #observe = (kind: string): ReflectorObserver => {
    const { logging, metrics } = this.#dependencies;
    const logger = logging.component('kubernetes');
    return {
      listed: (objects, pages) => {
        metrics.kubeLists.inc({ kind });
        logger.debug({ kind, objects, pages }, 'listed');
      },
      watchOpened: () => {
        metrics.kubeWatches.inc({ kind });
      },
      event: (type) => {
        metrics.kubeEvents.inc({ kind, type });
      },
      failed: (error, repeated) => {
        metrics.kubeFailures.inc({ kind });
        if (repeated === 1)
          logger.warn({ ...errorFields(error), kind }, 'the API server does not answer well; tried again');
        else logger.debug({ ...errorFields(error), kind, repeated }, 'the API server still does not answer well');
      },
      recovered: () => {
        logger.info({ kind }, 'the API server answers again');
      },
      listenerFailed: (error) => {
        logger.error({ ...errorFields(error), kind }, 'an object could not be taken in');
      },
    };
  };
}

/** Once, when the lead begins: what cannot be looked at then is looked at by the next leader. */
async function takeBack(
  writer: StatusWriter,
  onFailure: (name: string, error: unknown, failures: number) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    await writer.takeBack(signal);
  } catch (error) {
    if (!signal.aborted) onFailure('conditions of a former leader', error, 1);
  }
}

const acceptedKinds = [
  'HTTPRoute',
  'GRPCRoute',
  'TLSRoute',
  'TCPRoute',
  'VirtualService',
  'DestinationRule',
  'IstioGateway',
] as const;

function typeOf(kind: string): string {
  return (acceptedKinds as readonly string[]).includes(kind) ? 'Accepted' : 'ZtunnelAccepted';
}

/** Objects that are in force unless something is noted of them, each with the type of condition that says so. */
function acceptedOf(input: KubernetesInput): ReadonlyMap<string, string> {
  const kinds = ['AuthorizationPolicy', 'PeerAuthentication', ...acceptedKinds] as const;
  return new Map(kinds.flatMap((kind) => input.keysOf(kind).map((key) => [`${kind} ${key}`, typeOf(kind)] as const)));
}
