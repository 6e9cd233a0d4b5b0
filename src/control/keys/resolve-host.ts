import { NODATA, NOTFOUND } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';

/** Addresses of a host, as text. @throws what DNS says, or why the signal ended it */
export type ResolveHost = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

export interface ResolverOptions {
  /** `address:port`; null: those of the system. */
  readonly servers: readonly string[] | null;
  /** Domains in which a name is looked for when there is no such name by itself. */
  readonly search: readonly string[];
  /** Of one question to one server, in milliseconds. */
  readonly timeout: number;
}

const tries = 2;

/**
 * Asks DNS from the event loop, and can give up. `dns.lookup` would take one of the few threads that also read files, and keep it for
 * as long as a server that somebody has chosen says nothing. So /etc/hosts is not looked at.
 */
export function hostResolver({ servers, search, timeout }: ResolverOptions): ResolveHost {
  return async (host, signal) => {
    signal.throwIfAborted();
    const resolver = new Resolver({ timeout, tries });
    if (servers !== null) resolver.setServers(servers);
    const cancel = (): void => {
      resolver.cancel();
    };
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await firstKnown(namesOf(host, search), resolver, signal);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };
}

/** With the search domains of this machine, so that names of a cluster may be written without its domain. */
export function systemResolver(): ResolveHost {
  return async (host, signal) => {
    const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
    return hostResolver({ servers: null, search: searchDomains(text), timeout: 2_000 })(host, signal);
  };
}

/** Of resolv.conf: the last line of its kind counts, and of its domains as many as the system's own resolver takes. */
export function searchDomains(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/));
  const last = lines.filter(([word]) => word === 'search' || word === 'domain').at(-1) ?? [];
  return last.slice(1, 7);
}

function namesOf(host: string, search: readonly string[]): readonly string[] {
  return host.endsWith('.') ? [host] : [host, ...search.map((domain) => `${host}.${domain}`)];
}

async function firstKnown(
  names: readonly string[],
  resolver: Resolver,
  signal: AbortSignal,
): Promise<readonly string[]> {
  for (const name of names) {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    signal.throwIfAborted();
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (addresses.length > 0) return addresses;
    for (const answer of answers) if (answer.status === 'rejected' && !isUnknown(answer.reason)) throw answer.reason;
  }
  throw new Error(`there is no host ${names[0] ?? ''}`);
}

/** Somebody has answered that there is no such name, or no such address: another name may have one. */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === NOTFOUND || error.code === NODATA);
}
