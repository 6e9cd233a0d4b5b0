import type { Agent } from './agent.ts';
import { enter } from './namespaces.ts';
import { root } from './paths.ts';
import { exec } from './processes.ts';

/** What came of asking the CA. */
export interface CertificateOutcome {
  readonly issued: boolean;
  /** Code of the error, such as `CA_REFUSED`. */
  readonly code: string | null;
  readonly message: string | null;
}

/** Asks the CA for a certificate from an agent's own node, with that agent's own token. */
export async function askAs(agent: Agent, spiffeId: string): Promise<CertificateOutcome> {
  const { feed, netns } = agent.options;
  if (feed.kind !== 'control') throw new Error('an agent that signs itself asks nobody');
  const { address, tokenFile, rootFile } = feed;
  const order = { endpoint: { target: address, tls: true }, tokenFile, rootFile, spiffeId };
  const command = enter(netns, ['node', `${root}dist/test/support/certificate-asker.js`]);
  const { stdout } = await exec(command, { input: JSON.stringify(order) });
  return JSON.parse(stdout) as CertificateOutcome;
}

/** Identities that an agent has certificates for, from its dump. */
export async function identitiesOf(agent: Agent): Promise<readonly string[]> {
  const { body } = await agent.page('admin', '/config_dump');
  const { certificates } = JSON.parse(body) as {
    readonly certificates: readonly { readonly identity: string; readonly state: string }[];
  };
  return certificates
    .filter(({ state }) => state === 'Available')
    .map(({ identity }) => identity)
    .sort();
}
