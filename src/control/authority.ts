import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { initialiseAuthority, loadAuthority } from '../ca/authority.ts';
import type { Authority } from '../ca/authority.ts';
import { errorCode } from '../config/errors.ts';
import type { Logger } from '../telemetry/logger.ts';

/** Folder within the state folder. */
export const ownAuthority = 'ca';

/**
 * The operator's CA, or one of our own that is made in the state folder by the first start.
 *
 * @throws AmbitError as `loadAuthority` and `initialiseAuthority` do
 */
export async function openAuthority(folder: string | null, stateDir: string, logger: Logger): Promise<Authority> {
  if (folder !== null)
    return loadAuthority(folder, {
      onReadable: (message) => {
        warn(logger, message);
      },
    });
  const own = join(stateDir, ownAuthority);
  if (!(await exists(own))) {
    await initialiseAuthority(own);
    logger.info(
      { folder: own },
      'made a CA: give its root-cert.pem to the agents, and keep its subfolder root offline',
    );
  }
  return loadAuthority(own);
}

/** A mounted secret is readable by the whole container unless its volume says otherwise: that is the operator's to mend. */
function warn(logger: Logger, message: string): void {
  logger.warn({ code: 'CA_INSECURE' }, message);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
