import type { ControlPlaneSettings } from '../config/control-plane-settings.ts';
import type { MeshInput } from '../config/mesh-input.ts';
import { ManifestInput } from '../process/manifest-input.ts';
import type { ControlMetrics } from '../telemetry/control-metrics.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { Timers } from '../timing/timers.ts';
import { openAuthority } from './authority.ts';
import type { TokenVerifier } from './certificates/authenticator.ts';
import type { LivePods } from './certificates/live-pods.ts';
import { loadTokenKeys } from './certificates/token-keys.ts';
import type { TokenKeys } from './certificates/token-keys.ts';
import { readToken } from './certificates/tokens.ts';
import type { ControlSite } from './site.ts';
import { ProxyReadiness } from './waypoints/proxy-readiness.ts';

export interface ManifestSiteDependencies {
  readonly settings: Pick<ControlPlaneSettings, 'manifestPoll' | 'stateDir' | 'ca'>;
  /** File or folder. */
  readonly manifests: string;
  readonly logging: Logging;
  readonly metrics: ControlMetrics;
  readonly timers: Timers;
  /** In place of the manifests' files. */
  readonly input?: MeshInput;
}

/** A mesh of manifests: its CA and the key of its tokens lie in the state folder. */
export function manifestSite(dependencies: ManifestSiteDependencies): ControlSite {
  const { settings, logging, metrics, timers } = dependencies;
  const manifests = new ManifestInput({
    path: dependencies.manifests,
    stateDir: settings.stateDir,
    pollInterval: settings.manifestPoll,
    timers,
    logger: logging.component('manifests'),
    metrics,
  });
  const input = new ProxyReadiness(dependencies.input ?? manifests, timers);
  return {
    task: 'manifests',
    input,
    presence: input,
    captured: 'wanted',
    follow: null,
    followed: null,
    problems: () => [],
    openAuthority: () => openAuthority(settings.ca, settings.stateDir, logging.component('control')),
    openVerifier: async (pods) => ownTokens(await loadTokenKeys(settings.stateDir), pods, timers),
    attend: () => Promise.resolve(),
  };
}

/** Tokens that `ambit control token` has made. */
export function ownTokens(
  keys: Pick<TokenKeys, 'publicKey'>,
  pods: LivePods,
  timers: Pick<Timers, 'now'>,
): TokenVerifier {
  return (token) => {
    const reading = readToken(keys, token, timers.now());
    if (!reading.ok) return Promise.resolve({ refused: reading.reason });
    const { node, pod } = reading.subject;
    if (pod === null) return Promise.resolve({ kind: 'node', node });
    const identity = pods.identityOf(node, pod);
    return Promise.resolve(
      identity === null
        ? { refused: `the token's pod ${pod} does not run on node ${node}` }
        : { kind: 'workload', identity, pod },
    );
  };
}
