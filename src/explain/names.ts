import { AmbitError } from '../config/errors.ts';
import { parseAddress } from '../model/address.ts';
import type { MeshState, Service, Workload } from '../model/workload.ts';
import { nameOf } from './node-facts.ts';

/** What may be explained: whoever asks writes texts, and they mean something in one state of the mesh. */
export interface Request {
  /** `name`, `namespace/name` or the uid of a workload. */
  readonly source: string;
  /** A pod as above, an address, or a host name; with `:port`. */
  readonly destination: string;
  /** Of names without one. */
  readonly namespace: string;
}

export interface Destination {
  /** Canonical text. */
  readonly address: string;
  readonly port: number;
  /** What the text was taken for. */
  readonly meaning: string;
}

const longestText = 512;
const mostNamed = 5;

/** Codes that say that the request itself is at fault. */
export const requestFaults = {
  invalid: 'EXPLAIN_INVALID',
  unknown: 'EXPLAIN_UNKNOWN_NAME',
  ambiguous: 'EXPLAIN_AMBIGUOUS_NAME',
} as const;

/** @throws AmbitError with a code of `requestFaults` */
export function resolveSource(
  state: MeshState,
  { source, namespace }: Request,
): Workload & { readonly podUid: string } {
  checkText(source);
  const found = findWorkloads(state, source, namespace);
  const workload =
    sole(found, source, ({ uid }) => uid) ??
    unknown({ ...state, services: new Map() }, 'pod', qualified(source, namespace));
  const { podUid, node } = workload;
  if (podUid === null || node === '') {
    throw invalid(`${source} is no pod of a node: nothing is known of where its connections begin`);
  }
  return { ...workload, podUid };
}

/** @throws AmbitError with a code of `requestFaults` */
export function resolveDestination(state: MeshState, request: Request, source: Workload): Destination {
  checkText(request.destination);
  const { host, port } = splitPort(request.destination);
  const address = parseAddress(host);
  if (address !== null) return { address: address.text, port, meaning: `address ${address.text}` };
  const service = sole(findServices(state, host, source), host, serviceKey);
  const workload = sole(findWorkloads(state, host, request.namespace), host, ({ uid }) => uid);
  if (workload !== null && service !== null) throw ambiguous(host, [workload.uid, serviceKey(service)]);
  if (workload !== null) return toWorkload(workload, port, source);
  // As DNS would have it for a client in that namespace.
  const named = service ?? sole(findServices(state, `${host}.${request.namespace}`, source), host, serviceKey);
  if (named !== null) return toService(state, named, port, source);
  return unknown(state, 'pod, service or address', qualified(host, request.namespace));
}

function toWorkload(workload: Workload, port: number, source: Workload): Destination {
  const address = addressLike(workload.addresses, source.addresses[0] ?? '');
  if (address === null) throw invalid(`${nameOf(workload)} has no address`);
  return { address, port, meaning: `pod ${nameOf(workload)}` };
}

/** A service without an address of its own is asked for by those of its endpoints. */
function toService(state: MeshState, service: Service, port: number, source: Workload): Destination {
  const like = source.addresses[0] ?? '';
  const vip = addressLike(service.vips, like);
  const name = `service ${serviceKey(service)}`;
  if (vip !== null) return { address: vip, port, meaning: name };
  for (const workload of state.workloads.values()) {
    const target = workload.services.has(serviceKey(service)) ? addressLike(workload.addresses, like) : null;
    if (target === null) continue;
    const meaning = `${name}, which has no address of its own: its names lead to its endpoints, such as ${nameOf(workload)}`;
    return { address: target, port, meaning };
  }
  throw invalid(`${name} has no address and no endpoints: its name leads nowhere`);
}

/** Of the other's family, else whichever there is. */
export function addressLike(addresses: readonly string[], other: string): string | null {
  return addresses.find((address) => address.includes(':') === other.includes(':')) ?? addresses[0] ?? null;
}

function splitPort(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port < 1 || port > 65535) {
    throw invalid(`${JSON.stringify(text)} is no destination: write NAME:PORT, ADDRESS:PORT or [ADDRESS]:PORT`);
  }
  return { host, port };
}

function findWorkloads({ workloads }: MeshState, text: string, namespace: string): readonly Workload[] {
  const byUid = workloads.get(text);
  if (byUid !== undefined) return [byUid];
  const slash = text.indexOf('/');
  const [space, name] = slash < 0 ? [namespace, text] : [text.slice(0, slash), text.slice(slash + 1)];
  return [...workloads.values()].filter((workload) => workload.name === name && workload.namespace === space);
}

/** By host name, whole or without the end that it shares with the others of the cluster, or by `namespace/hostname`. */
function findServices({ services, settings }: MeshState, text: string, source: Workload): readonly Service[] {
  const byKey = services.get(text);
  if (byKey !== undefined) return [byKey];
  const host = text.replace(/\.$/, '').toLowerCase();
  const domain = settings.clusterDomain;
  const wanted = new Set([host, `${host}.${domain}`, `${host}.svc.${domain}`]);
  const found = [...services.values()].filter(({ hostname }) => wanted.has(hostname));
  const seen = found.filter(({ visibility, namespace }) => visibility === 'public' || namespace === source.namespace);
  if (found.length > 0 && seen.length === 0) throw invalid(`${host} is a service that only its own namespace sees`);
  const own = seen.filter(({ namespace }) => namespace === source.namespace);
  const canonical = seen.filter((service) => service.canonical);
  return [own, canonical, seen].find((services) => services.length > 0) ?? [];
}

function sole<T>(found: readonly T[], text: string, describe: (value: T) => string): T | null {
  if (found.length > 1) throw ambiguous(text, found.map(describe));
  return found[0] ?? null;
}

function qualified(text: string, namespace: string): string {
  return text.includes('/') ? text : `${namespace}/${text}`;
}

function serviceKey({ namespace, hostname }: Service): string {
  return `${namespace}/${hostname}`;
}

function checkText(text: string): void {
  if (text === '') throw invalid('say whose connection is meant: a pod as the source, and a destination with a port');
  if (text.length > longestText) throw invalid(`no name has more than ${longestText} characters`);
}

function ambiguous(text: string, found: readonly string[]): AmbitError {
  const list = found.slice(0, mostNamed).join(', ');
  return new AmbitError(requestFaults.ambiguous, `${text} may be any of ${list}: write the one that is meant`);
}

function invalid(message: string): AmbitError {
  return new AmbitError(requestFaults.invalid, message);
}

function unknown(state: MeshState, kind: string, wanted: string): never {
  const near = nearNames(state, wanted);
  const hint = near.length === 0 ? '' : `; did you mean ${near.join(', ')}?`;
  throw new AmbitError(requestFaults.unknown, `no ${kind} is known as ${wanted}${hint}`);
}

/** The same name in another namespace, and names of the same namespace that are a slip of the hand away. */
function nearNames({ workloads, services }: MeshState, wanted: string): readonly string[] {
  const slash = wanted.indexOf('/');
  const namespace = wanted.slice(0, slash);
  const [name = ''] = wanted.slice(slash + 1).split('.');
  const near = new Map<string, number>();
  const consider = (candidate: { readonly namespace: string; readonly name: string }, shown: string): void => {
    const distance = candidate.namespace === namespace ? slips(candidate.name, name) : candidate.name === name ? 2 : 9;
    if (distance <= 2) near.set(shown, distance);
  };
  for (const workload of workloads.values()) consider(workload, nameOf(workload));
  for (const service of services.values()) consider(service, service.hostname);
  const sorted = [...near].sort(([left, a], [right, b]) => a - b || (left < right ? -1 : 1));
  return sorted.slice(0, mostNamed).map(([shown]) => shown);
}

/** Letters to change, add or take away (Levenshtein); 0 also where one name begins with the other. At most 9. */
function slips(left: string, right: string): number {
  if (right !== '' && (left.startsWith(right) || right.startsWith(left))) return 0;
  if (Math.abs(left.length - right.length) > 2) return 9;
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let place = 0; place < left.length; place++) {
    const next = [place + 1];
    for (let index = 0; index < right.length; index++) {
      const change = (row[index] ?? 0) + (left[place] === right[index] ? 0 : 1);
      next.push(Math.min(change, (row[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 9;
}
