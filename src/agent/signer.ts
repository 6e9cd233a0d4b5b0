import { loadAuthority } from '../ca/authority.ts';
import type { ControlCredentials } from '../config/control-credentials.ts';
import type { AgentSettings } from '../config/settings.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';
import { CertificateClient } from '../xds/certificate-client.ts';
import type { CertificateSigner } from '../ztunnel/certificates.ts';

export interface SignerDependencies {
  readonly settings: AgentSettings;
  readonly credentials: ControlCredentials;
  readonly logging: Logging;
  readonly metrics: AgentMetrics;
  readonly timers: Timers;
}

export interface LoadedSigner {
  /** null: pods get no certificates. */
  readonly signer: CertificateSigner | null;
  readonly close: () => void;
}

/** Who signs: the CA of the control plane, a CA folder of this node, or nobody. */
export async function loadSigner(dependencies: SignerDependencies): Promise<LoadedSigner> {
  const { settings, logging } = dependencies;
  const endpoint = settings.caAddress ?? settings.control;
  if (endpoint !== null) return remoteSigner(dependencies, endpoint);
  const nothing = (): void => undefined;
  const logger = logging.component('certificates');
  if (settings.ca === null) {
    logger.warn({}, 'no --ca: pods get no identity, so nothing can reach them or leave them through a tunnel');
    return { signer: null, close: nothing };
  }
  const authority = await loadAuthority(settings.ca);
  const danger =
    'this node signs certificates itself, for any identity: whoever steals the folder, or root on this node, can be ' +
    'every workload of the mesh';
  logger.warn({ folder: settings.ca, notAfter: new Date(authority.notAfter).toISOString() }, danger);
  const signer = { sign: (spiffeId: string) => authority.sign({ spiffeId, ttl: settings.certificateTtl }) };
  return { signer, close: nothing };
}

function remoteSigner(
  { settings, credentials, metrics, timers }: SignerDependencies,
  endpoint: NonNullable<AgentSettings['control']>,
): LoadedSigner {
  const signer = new CertificateClient({
    access: {
      endpoint,
      rootFile: endpoint.tls ? (settings.caRootFile ?? settings.rootFile) : null,
      tokenFile: settings.tokenFile,
      token: credentials.token,
      headers: credentials.caHeaders,
      serverName: settings.caName,
      clusterId: settings.clusterId,
    },
    ttl: settings.certificateTtl,
    timers,
    metrics,
  });
  return {
    signer,
    close: () => {
      signer.close();
    },
  };
}
