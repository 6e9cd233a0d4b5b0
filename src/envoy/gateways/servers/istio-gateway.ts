import type { IstioGatewayDocument, IstioServerDocument } from '../../../config/manifests/schemas/istio-gateway.ts';
import { parseAddress } from '../../../model/address.ts';
import { specialKind } from '../../../model/special-address.ts';
import { Notes } from '../../routes/notes.ts';
import type { GatewayServer, ServerHost } from '../server.ts';
import type { ListenerFindings, ListenerProblem, ServersOf } from './findings.ts';
import { istioTerms } from './istio-tls.ts';
import { closedTerms, ownerOf, reservedPorts } from './owner.ts';

/** Pods that serve what names no others: where Ingresses go, and what most Gateways select. */
export const ingressGatewayLabels: Readonly<Record<string, string>> = { istio: 'ingressgateway' };

const words = {
  HTTP: 'requests',
  HTTP2: 'requests',
  GRPC: 'requests',
  'GRPC-WEB': 'requests',
  HTTPS: 'secured requests',
  TLS: 'connections',
  TCP: 'connections',
} as const;

type Carried = (typeof words)[keyof typeof words];

/** Servers of an Istio Gateway. What each may refuse closes it alone. */
export function istioGatewayServers(document: IstioGatewayDocument): ServersOf {
  const notes = new Notes('IstioGateway', document);
  const read = document.spec.servers.map((server, index) => readServer(document, server, index, notes));
  return {
    servers: read.flatMap(({ server }) => (server === null ? [] : [server])),
    listeners: read.map(({ findings }) => findings),
    conditions: notes.conditions,
  };
}

interface ReadServer {
  readonly server: GatewayServer | null;
  readonly findings: ListenerFindings;
}

function readServer(
  document: IstioGatewayDocument,
  server: IstioServerDocument,
  index: number,
  notes: Notes,
): ReadServer {
  const field = `spec.servers[${index}]`;
  const section = server.port.name ?? server.name ?? String(index);
  const { served, problem } = serve(server, field, notes);
  if (problem === null) tellUnused(server, field, notes);
  else notes.add(problem.type, problem.reason, `${problem.message}: this server is closed`);
  const findings = { section, supportedKinds: [], problems: problem === null ? [] : [problem] };
  if (served === null) return { server: null, findings };
  return {
    server: {
      ...ownerOf('IstioGateway', document),
      section,
      port: server.port.number,
      ...served,
      hosts: hostsOf(server, document.metadata.namespace),
      allowed: { namespaces: 'all', kinds: ['VirtualService'] },
      redirectToHttps: served.protocol === 'http' && server.tls?.httpsRedirect === true,
    },
    findings,
  };
}

interface Served {
  readonly served: Pick<GatewayServer, 'protocol' | 'tls'> | null;
  readonly problem: ListenerProblem | null;
}

function serve(server: IstioServerDocument, field: string, notes: Notes): Served {
  const { port, tls } = server;
  const carried = carriedBy(port.protocol);
  if (carried === null) {
    const message = `${field}.port.protocol: ${port.protocol} is none of ${Object.keys(words).join(', ')}`;
    return refuse('UnsupportedProtocol', message);
  }
  if (reservedPorts.has(port.number))
    return refuse('PortUnavailable', `${field}.port.number: the gateway’s pods need ${port.number} themselves`);
  if (isForItselfOnly(server.bind))
    return refuse('UnsupportedValue', `${field}.bind: ${server.bind ?? ''} is reached by nobody outside the pod`);
  if (carried === 'requests') return plain(tls, field);
  if (tls === null && port.protocol.toUpperCase() === 'TCP') return good('tcp', null);
  return secured(server, carried, field, notes);
}

function secured({ port, tls }: IstioServerDocument, carried: Carried, field: string, notes: Notes): Served {
  const protocol = carried === 'secured requests' ? 'https' : 'tls';
  if (tls === null) return close(protocol, `${field}.tls: is needed by ${port.protocol}`);
  const terms = istioTerms(tls, `${field}.tls`, notes);
  if ('refused' in terms) return close(protocol, terms.refused);
  return good(terms.tls === 'passthrough' ? 'tls' : protocol, terms.tls);
}

function good(protocol: GatewayServer['protocol'], tls: GatewayServer['tls']): Served {
  return { served: { protocol, tls }, problem: null };
}

function refuse(reason: ListenerProblem['reason'], message: string): Served {
  return { served: null, problem: { type: 'Accepted', reason, message } };
}

/** Its hosts stay its own. */
function close(protocol: 'https' | 'tls', message: string): Served {
  return { ...refuse('UnsupportedValue', message), served: { protocol, tls: closedTerms } };
}

function carriedBy(protocol: string): Carried | null {
  const word = protocol.toUpperCase();
  return Object.hasOwn(words, word) ? words[word as keyof typeof words] : null;
}

/** Who names a certificate beside a protocol without TLS wants something else than what would come of it. */
function plain(tls: IstioServerDocument['tls'], field: string): Served {
  const bare = tls === null || ((tls.mode === null || tls.mode === 'PASSTHROUGH') && tls.credentialName === null);
  if (bare) return good('http', null);
  return refuse('UnsupportedValue', `${field}.tls: of a protocol without TLS only httpsRedirect can be said: HTTPS`);
}

/** A socket of the pod's own, or an address that only the pod has. */
function isForItselfOnly(bind: string | null): boolean {
  if (bind === null) return false;
  const address = parseAddress(bind);
  return bind.startsWith('unix:') || (address !== null && specialKind(address) === 'loopback');
}

function tellUnused({ bind, defaultEndpoint, port }: IstioServerDocument, field: string, notes: Notes): void {
  if (port.targetPort !== undefined)
    notes.unsupported(`${field}.port.targetPort`, 'no effect: the Service of the gateway’s pods says it');
  if (bind !== null && bind !== '' && bind !== '0.0.0.0' && bind !== '::')
    notes.unsupported(`${field}.bind`, 'no effect: every address of the pod is listened on');
  if (defaultEndpoint !== null) notes.unsupported(`${field}.defaultEndpoint`, 'no effect: routes say where it goes');
}

function hostsOf({ hosts }: IstioServerDocument, own: string): readonly ServerHost[] {
  return hosts.map((text): ServerHost => {
    const slash = text.indexOf('/');
    const namespace = text.slice(0, Math.max(slash, 0));
    const name = text.slice(slash + 1);
    return { name, namespace: namespace === '.' ? own : namespace === '' || namespace === '*' ? null : namespace };
  });
}
