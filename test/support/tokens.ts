import { sign } from 'node:crypto';

import { loadTokenKeys } from '../../src/control/certificates/token-keys.ts';
import { createToken } from '../../src/control/certificates/tokens.ts';

export interface TokenFaults {
  /** Whom the token names; the node's own name unless given. */
  readonly node?: string;
  readonly audience?: string;
  /** How long ago it ended, milliseconds. */
  readonly endedAgo?: number;
}

/** A token signed by a control plane's own key, wrong in the ways that are asked for. */
export async function faultyToken(stateDir: string, node: string, faults: TokenFaults): Promise<string> {
  const keys = await loadTokenKeys(stateDir);
  const lifetime = 60_000;
  const now = Date.now() - (faults.endedAgo === undefined ? 0 : faults.endedAgo + lifetime);
  const token = createToken(keys, { node: faults.node ?? node, pod: null, now, lifetime });
  if (faults.audience === undefined) return token;
  const [header = '', payload = ''] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
  const text = `${header}.${encode({ ...claims, aud: [faults.audience] })}`;
  const signature = sign('sha256', Buffer.from(text), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
