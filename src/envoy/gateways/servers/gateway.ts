import type { LabelSelector } from '../../../config/manifests/schemas/common.ts';
import type { ListenerDocument } from '../../../config/manifests/schemas/gateway-listener.ts';
import type { GatewayDocument } from '../../../config/manifests/schemas/gateway.ts';
import type { ListenerSetDocument } from '../../../config/manifests/schemas/listener-set.ts';
import { gatewayGroup } from '../../routes/groups.ts';
import { Notes } from '../../routes/notes.ts';
import type { ListenerFindings, ServersOf } from './findings.ts';
import { readListener } from './listener.ts';
import type { ReadListener } from './listener.ts';
import { gatewayGrant } from './listener-tls.ts';
import type { ClientValidation, ServerLookups } from './listener-tls.ts';
import { ownerOf } from './owner.ts';
import type { ServerOwner } from './owner.ts';

const proxyConfig = 'proxy.istio.io/config';

/** Servers of a Gateway of the Gateway API. */
export function gatewayServers(document: GatewayDocument, lookups: ServerLookups): ServersOf {
  const notes = new Notes('Gateway', document);
  if (Object.hasOwn(document.metadata.annotations, proxyConfig)) {
    const instead = 'what holds for proxies stands in the MeshSettings';
    notes.add('Accepted', 'AnnotationNotHonoured', `the annotation ${proxyConfig} has no effect: ${instead}`);
  }
  const { tls, backendTLS, defaultScope } = document.spec;
  if (tls.backend?.clientCertificateRef != null || backendTLS !== undefined)
    notes.unsupported('spec.tls.backend', 'no effect: a gateway shows backends no certificate of its own');
  if (defaultScope !== undefined) notes.unsupported('spec.defaultScope', 'no effect: routes name their parents');
  return readAll(document.spec.listeners, ownerOf('Gateway', document), document, lookups, notes);
}

/** Servers of a ListenerSet that its Gateway has let in. What the Gateway asks of clients holds for them as well. */
export function listenerSetServers(
  document: ListenerSetDocument,
  gateway: GatewayDocument,
  lookups: ServerLookups,
): ServersOf {
  const kind = kindOfSet(document);
  return readAll(document.spec.listeners, ownerOf(kind, document), gateway, lookups, new Notes(kind, document));
}

/** Whether a Gateway lets a ListenerSet that names it add listeners. @param selects whether a selector fits the set's namespace */
export function letsIn(
  { metadata, spec }: GatewayDocument,
  set: ListenerSetDocument,
  selects: (selector: LabelSelector) => boolean,
): boolean {
  const { from, selector } = spec.allowedListeners.namespaces;
  if (from === 'All') return true;
  if (from === 'Same') return set.metadata.namespace === metadata.namespace;
  return from === 'Selector' && selector !== null && selects(selector);
}

/** `namespace/name` of the Gateway that a ListenerSet adds to; null: it names something else. */
export function parentOfSet({ metadata, spec }: ListenerSetDocument): string | null {
  const { group, kind, namespace, name } = spec.parentRef;
  return group === gatewayGroup && kind === 'Gateway' ? `${namespace ?? metadata.namespace}/${name}` : null;
}

export function kindOfSet({ kind }: ListenerSetDocument): 'ListenerSet' | 'XListenerSet' {
  return kind === 'XListenerSet' ? 'XListenerSet' : 'ListenerSet';
}

function readAll(
  listeners: readonly ListenerDocument[],
  owner: ServerOwner,
  gateway: GatewayDocument,
  lookups: ServerLookups,
  notes: Notes,
): ServersOf {
  const read = listeners.map((listener, index): ReadListener => {
    const field = `spec.listeners[${index}]`;
    if (listeners.findIndex(({ name }) => name === listener.name) < index) return sameName(listener.name, field);
    const clients = clientsOf(gateway, listener.port, owner.kind !== 'Gateway');
    return readListener(listener, field, owner, {
      from: gatewayGrant(owner.kind, owner.namespace),
      lookups,
      notes,
      clients,
    });
  });
  return {
    servers: read.flatMap(({ server }) => (server === null ? [] : [server])),
    listeners: read.map(({ findings }) => findings),
    conditions: notes.conditions,
  };
}

/** By its name a listener is meant, so of two of one name the first is. */
function sameName(section: string, field: string): ReadListener {
  const message = `${field}.name: another listener is called ${section}`;
  const findings: ListenerFindings = {
    section,
    supportedKinds: [],
    problems: [{ type: 'Programmed', reason: 'Invalid', message }],
  };
  return { server: null, findings };
}

/** Of a port, else of all; `validation` that is not there takes it back for a port. */
function clientsOf({ metadata, spec }: GatewayDocument, port: number, isImposed: boolean): ClientValidation | null {
  const { frontend } = spec.tls;
  if (frontend === null) return null;
  const from = gatewayGrant('Gateway', metadata.namespace);
  const index = frontend.perPort.findIndex((each) => each.port === port);
  const own = frontend.perPort[index];
  const validation = own === undefined ? frontend.default.validation : own.tls.validation;
  const field = own === undefined ? 'spec.tls.frontend.default' : `spec.tls.frontend.perPort[${index}].tls`;
  return validation === null ? null : { validation, from, field: `${field}.validation`, isImposed };
}
