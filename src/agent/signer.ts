import { loadAuthority } from '../ca/authority.ts';
import type { AgentSettings } from '../config/settings.ts';
import type { Logging } from '../telemetry/logger.ts';
import type { CertificateSigner } from '../ztunnel/certificates.ts';

/**
 * Who signs for the pods of this node: the CA folder, or nobody.
 *
 * @throws AmbitError what `loadAuthority` throws
 */
export async function loadSigner(settings: AgentSettings, logging: Logging): Promise<CertificateSigner | null> {
  const logger = logging.component('certificates');
  if (settings.ca === null) {
    logger.warn({}, 'no --ca: pods get no identity, so nothing can reach them or leave them through a tunnel');
    return null;
  }
  const authority = await loadAuthority(settings.ca);
  const danger =
    'this node signs certificates itself, for any identity: whoever steals the folder, or root on this node, can be ' +
    'every workload of the mesh';
  logger.warn({ folder: settings.ca, notAfter: new Date(authority.notAfter).toISOString() }, danger);
  return { sign: (spiffeId) => authority.sign({ spiffeId, ttl: settings.certificateTtl }) };
}
