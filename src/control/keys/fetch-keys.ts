import { request as requestHttp } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { isKeySet, maximumKeySet } from '../../envoy/security/request-authentication.ts';
import { parseAddress } from '../../model/address.ts';
import type { AllowedSources } from './allowed-sources.ts';
import type { FetchKeys } from './keyed-input.ts';
import type { ResolveHost } from './resolve-host.ts';

const deadline = 10_000;

/** What one fetch goes by. */
interface Fetching {
  readonly resolve: ResolveHost;
  readonly allowed: AllowedSources;
  readonly signal: AbortSignal;
}

/**
 * Gets the keys of an issuer as a JSON Web Key Set, and throws what is wrong in words for whoever wrote the address. Redirections are
 * not followed: where they lead nobody has looked at.
 */
export function keyFetcher(resolve: ResolveHost): FetchKeys {
  return async (source, allowed, signal) => {
    const fetching = { resolve, allowed, signal: AbortSignal.any([signal, AbortSignal.timeout(deadline)]) };
    const url = source.kind === 'keys' ? source.url : await discover(source.url, fetching);
    const text = await get(url, fetching);
    if (!isKeySet(text)) throw new Error(`${url} has answered with something that is no JSON Web Key Set`);
    return text;
  };
}

/** OpenID Connect discovery. */
async function discover(issuer: string, fetching: Fetching): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document: unknown = JSON.parse(await get(url, fetching));
  if (typeof document === 'object' && document !== null && 'jwks_uri' in document) {
    const { jwks_uri: found } = document;
    if (typeof found === 'string' && URL.canParse(found)) return found;
  }
  throw new Error(`${url} names no jwks_uri`);
}

async function get(url: string, fetching: Fetching): Promise<string> {
  const { hostname, protocol } = new URL(url);
  const addresses = await allowedAddresses(hostname.replace(/^\[|\]$/g, ''), fetching);
  const options: RequestOptions = { signal: fetching.signal, agent: false, lookup: pinnedTo(addresses) };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = protocol === 'https:' ? requestHttps(url, options, resolve) : requestHttp(url, options, resolve);
    request.on('error', reject).end();
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`${url} has answered ${response.statusCode ?? 'nothing'}`);
  }
  return bounded(response, url);
}

async function bounded(response: IncomingMessage, url: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    const bytes = chunk as Buffer;
    length += bytes.length;
    if (length > maximumKeySet) throw new Error(`${url} has answered with more than ${maximumKeySet} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

async function allowedAddresses(host: string, { resolve, allowed, signal }: Fetching): Promise<readonly string[]> {
  const found = isIP(host) === 0 ? await resolve(host, signal) : [host];
  const usable = found.filter((text) => {
    const address = parseAddress(text);
    return address !== null && allowed.allows(host, address);
  });
  if (usable.length > 0) return usable;
  throw new Error(`${host} (${found.join(', ')}) is not allowed by jwksSources of the MeshSettings`);
}

/** What is connected to is what was looked at: a name that changes its address in between gains nothing. */
function pinnedTo(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, options, callback) => {
    const [first = { address: '', family: 0 }] = found;
    if (options.all === true) callback(null, found);
    else callback(null, first.address, first.family);
  };
}
