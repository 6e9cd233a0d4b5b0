import { Resolver } from 'node:dns/promises';
import { errorCode } from '../config/errors.ts';
import { canonicalAddress } from '../model/address.ts';
import type { LookUpName, NameAnswer } from '../ztunnel/names/name-resolver.ts';

/** Milliseconds that a server has to answer, the first time; and how often each is asked. */
const resolverOptions = { timeout: 1_000, tries: 2 };
/** Of a name with more addresses the rest is not used. */
const mostAddresses = 64;
/** How long that a name does not exist is believed. Milliseconds. */
const absentTtl = 30_000;

/**
 * Asks name servers for the addresses of a name, of both families. A resolver for each lookup: it reads anew whom the machine asks, and
 * can be given up without another one.
 *
 * @param servers `ADDRESS` or `ADDRESS:PORT`; none: those of the machine
 */
export function nameLookup(servers: readonly string[]): LookUpName {
  return async (name, signal) => {
    const resolver = new Resolver(resolverOptions);
    if (servers.length > 0) resolver.setServers(servers);
    const give = (): void => {
      resolver.cancel();
    };
    signal.addEventListener('abort', give, { once: true });
    try {
      return joined(await Promise.allSettled([addressesOf(resolver, name, 4), addressesOf(resolver, name, 6)]));
    } finally {
      signal.removeEventListener('abort', give);
    }
  };
}

async function addressesOf(resolver: Resolver, name: string, family: 4 | 6): Promise<NameAnswer> {
  try {
    const records =
      family === 4 ? await resolver.resolve4(name, { ttl: true }) : await resolver.resolve6(name, { ttl: true });
    const addresses = records.flatMap(({ address }) => canonicalAddress(address) ?? []).sort();
    return { addresses, ttl: Math.min(...records.map(({ ttl }) => ttl * 1000)) };
  } catch (error) {
    if (['ENOTFOUND', 'ENODATA'].includes(errorCode(error) ?? '')) return { addresses: [], ttl: absentTtl };
    throw error;
  }
}

/** One family is enough; that one has none says nothing while the other could not be asked for. */
function joined(results: readonly PromiseSettledResult<NameAnswer>[]): NameAnswer {
  const answers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const found = answers.filter(({ addresses }) => addresses.length > 0);
  const failed = results.find((result) => result.status === 'rejected');
  if (found.length === 0 && failed !== undefined) throw failed.reason;
  const used = found.length > 0 ? found : answers;
  return {
    addresses: used.flatMap(({ addresses }) => addresses).slice(0, mostAddresses),
    ttl: Math.min(...used.map(({ ttl }) => ttl)),
  };
}
