import { lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { KeySource } from '../../envoy/security/context.ts';
import { isKeySet } from '../../envoy/security/request-authentication.ts';
import { parseAddress } from '../../model/address.ts';
import type { AllowedSources } from './allowed-sources.ts';

const deadline = 10_000;
const maximumBytes = 1_048_576;

/**
 * The keys of an issuer as a JSON Web Key Set. Redirections are not followed: where they lead nobody has looked at.
 *
 * @throws what is wrong, in words for whoever wrote the address
 */
export async function fetchKeys(source: KeySource, allowed: AllowedSources, signal: AbortSignal): Promise<string> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(deadline)]);
  const url = source.kind === 'keys' ? source.url : await discover(source.url, allowed, within);
  const text = await get(url, allowed, within);
  if (!isKeySet(text)) throw new Error(`${url} has answered with something that is no JSON Web Key Set`);
  return text;
}

/** OpenID Connect discovery. */
async function discover(issuer: string, allowed: AllowedSources, signal: AbortSignal): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document: unknown = JSON.parse(await get(url, allowed, signal));
  if (typeof document === 'object' && document !== null && 'jwks_uri' in document) {
    const { jwks_uri: found } = document;
    if (typeof found === 'string' && URL.canParse(found)) return found;
  }
  throw new Error(`${url} names no jwks_uri`);
}

async function get(url: string, allowed: AllowedSources, signal: AbortSignal): Promise<string> {
  const { hostname, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isAllowed(host, host, allowed)) throw new Error(refusal(host, host));
  const options: RequestOptions = { signal, agent: false, lookup: guardedLookup(allowed) };
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
    if (length > maximumBytes) throw new Error(`${url} has answered with more than ${maximumBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

/** What is connected to is what was looked at: a name that changes its address in between gains nothing. */
function guardedLookup(allowed: AllowedSources): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      const usable = error === null ? found.filter(({ address }) => isAllowed(host, address, allowed)) : [];
      const [first] = usable;
      if (first === undefined) {
        callback(error ?? new Error(refusal(host, found.map(({ address }) => address).join(', '))), '', 0);
      } else if (options.all === true) callback(null, usable);
      else callback(null, first.address, first.family);
    });
  };
}

function isAllowed(host: string, text: string, allowed: AllowedSources): boolean {
  const address = parseAddress(text);
  return address !== null && allowed.allows(host, address);
}

function refusal(host: string, addresses: string): string {
  return `${host} (${addresses}) is not allowed by jwksSources of the MeshSettings`;
}
