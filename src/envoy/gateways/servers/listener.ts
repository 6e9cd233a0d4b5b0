import type {
  FromNamespacesDocument,
  ListenerDocument,
  ListenerTlsDocument,
} from '../../../config/manifests/schemas/gateway-listener.ts';
import { gatewayGroup } from '../../routes/groups.ts';
import type { AllowedRoutes, GatewayServer } from '../server.ts';
import type { ListenerFindings, ListenerProblem } from './findings.ts';
import { listenerTerms } from './listener-tls.ts';
import type { TlsContext } from './listener-tls.ts';
import { closedTerms, reservedPorts } from './owner.ts';
import type { ServerOwner } from './owner.ts';

export interface ReadListener {
  /** null: it cannot be served, as its findings tell. */
  readonly server: GatewayServer | null;
  readonly findings: ListenerFindings;
}

const protocols = {
  HTTP: 'http',
  HTTPS: 'https',
  TLS: 'tls',
  TCP: 'tcp',
} as const;

type Protocol = (typeof protocols)[keyof typeof protocols];

/** One listener of a Gateway or of a ListenerSet. */
export function readListener(
  listener: ListenerDocument,
  field: string,
  owner: ServerOwner,
  context: Omit<TlsContext, 'field'>,
): ReadListener {
  const protocol = protocolOf(listener);
  if (protocol === null) return unserved(listener, [], [unknownProtocol(listener, field)]);
  const supported = supportedKinds(listener, protocol);
  const { allowed, problems } = allowedRoutes(listener, supported, field);
  if (reservedPorts.has(listener.port))
    return unserved(listener, allowed.kinds, [...problems, reservedPort(listener, field)]);
  const ended = tlsOf(listener, protocol, { ...context, field: `${field}.tls` });
  const findings = {
    section: listener.name,
    supportedKinds: allowed.kinds,
    problems: [...problems, ...ended.problems],
  };
  return { server: ended.tls === undefined ? null : serverOf(listener, protocol, owner, ended.tls, allowed), findings };
}

function serverOf(
  listener: ListenerDocument,
  protocol: Protocol,
  owner: ServerOwner,
  tls: GatewayServer['tls'],
  allowed: AllowedRoutes,
): GatewayServer {
  const name = protocol === 'tcp' ? '*' : (listener.hostname ?? '*');
  return {
    ...owner,
    section: listener.name,
    port: listener.port,
    protocol,
    hosts: [{ name, namespace: null }],
    tls,
    allowed,
    redirectToHttps: false,
  };
}

/** The API's own protocols may be written in any case. */
function protocolOf({ protocol }: ListenerDocument): Protocol | null {
  const word = protocol.toUpperCase();
  return Object.hasOwn(protocols, word) ? protocols[word as keyof typeof protocols] : null;
}

function unserved(
  { name }: ListenerDocument,
  kinds: readonly string[],
  problems: readonly ListenerProblem[],
): ReadListener {
  return { server: null, findings: { section: name, supportedKinds: kinds, problems } };
}

function unknownProtocol({ protocol }: ListenerDocument, field: string): ListenerProblem {
  const message = `${field}.protocol: ${protocol} is none of ${Object.keys(protocols).join(', ')}`;
  return { type: 'Accepted', reason: 'UnsupportedProtocol', message };
}

function reservedPort({ port }: ListenerDocument, field: string): ListenerProblem {
  const message = `${field}.port: ${port} is a port that the gateway’s pods need themselves`;
  return { type: 'Accepted', reason: 'PortUnavailable', message };
}

/** What the API server would refuse, too, and nobody checks of a file. */
function tlsMistake(tls: ListenerDocument['tls'], protocol: Protocol): string | null {
  const speaksTls = protocol === 'https' || protocol === 'tls';
  if (speaksTls && tls === null) return 'is needed by this protocol';
  if (!speaksTls && tls !== null) return 'cannot be together with a protocol without TLS';
  if (protocol === 'https' && tls?.mode === 'Passthrough') return 'requests can only be seen where TLS ends: Terminate';
  return null;
}

interface EndedTls {
  /** `undefined`: it cannot be served. */
  readonly tls: GatewayServer['tls'] | undefined;
  readonly problems: readonly ListenerProblem[];
}

function tlsOf({ tls }: ListenerDocument, protocol: Protocol, context: TlsContext): EndedTls {
  const mistake = tlsMistake(tls, protocol);
  if (mistake !== null) {
    const isPlain = protocol === 'http' || protocol === 'tcp';
    const message = `${context.field}: ${mistake}`;
    const problems = [{ type: 'Accepted', reason: 'UnsupportedValue', message }] as const;
    return { tls: isPlain ? undefined : closedTerms, problems };
  }
  if (tls === null) return { tls: null, problems: [] };
  if (tls.mode === 'Passthrough') return { tls: 'passthrough', problems: [] };
  const { terms, problems } = listenerTerms(tls, { ...context, clients: clientsOf(tls, protocol, context) });
  return { tls: terms, problems };
}

/** What a Gateway says of certificates of clients is for requests; a listener's own word is for whatever it carries. */
function clientsOf(
  tls: ListenerTlsDocument,
  protocol: Protocol,
  { clients, from, field }: TlsContext,
): TlsContext['clients'] {
  const ofGateway = protocol === 'https' ? clients : null;
  const { frontendValidation: validation } = tls;
  if (validation === null || ofGateway?.isImposed === true) return ofGateway;
  return { validation, from, field: `${field}.frontendValidation`, isImposed: false };
}

function supportedKinds({ tls }: ListenerDocument, protocol: Protocol): readonly string[] {
  switch (protocol) {
    case 'http':
    case 'https':
      return ['HTTPRoute', 'GRPCRoute'];
    case 'tls':
      return tls?.mode === 'Passthrough' ? ['TLSRoute'] : ['TLSRoute', 'TCPRoute'];
    case 'tcp':
      return ['TCPRoute'];
  }
}

function allowedRoutes({ allowedRoutes: asked }: ListenerDocument, supported: readonly string[], field: string) {
  const isKnown = ({ group, kind }: { readonly group: string; readonly kind: string }): boolean =>
    group === gatewayGroup && supported.includes(kind);
  const wrong = asked.kinds.filter((kind) => !isKnown(kind)).map(({ kind }) => kind);
  const kinds = asked.kinds.length === 0 ? supported : asked.kinds.filter(isKnown).map(({ kind }) => kind);
  const message = `${field}.allowedRoutes.kinds: ${wrong.join(', ')} is none of ${supported.join(', ')}`;
  const problems: readonly ListenerProblem[] =
    wrong.length === 0 ? [] : [{ type: 'ResolvedRefs', reason: 'InvalidRouteKinds', message }];
  const allowed: AllowedRoutes = { namespaces: routeNamespaces(asked.namespaces), kinds: [...new Set(kinds)] };
  return { allowed, problems };
}

function routeNamespaces({ from, selector }: FromNamespacesDocument): AllowedRoutes['namespaces'] {
  switch (from) {
    case 'All':
      return 'all';
    case 'Selector':
      return selector ?? 'none';
    case 'None':
      return 'none';
    default:
      return 'same';
  }
}
