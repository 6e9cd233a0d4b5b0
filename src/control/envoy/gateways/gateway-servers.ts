import type { IngressDocument } from '../../../config/manifests/schemas/ingress.ts';
import type { IstioGatewayDocument } from '../../../config/manifests/schemas/istio-gateway.ts';
import { defaultMeshFields } from '../../../config/manifests/schemas/mesh-settings.ts';
import type { MeshSettingsFields } from '../../../config/manifests/schemas/mesh-settings.ts';
import type { ListenerSetDocument } from '../../../config/manifests/schemas/listener-set.ts';
import { settingsKey } from '../../../derive/sources.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { matchesLabels } from '../../../derive/selectors.ts';
import type { Labels } from '../../../derive/selectors.ts';
import { gatewayNameLabel } from '../../../derive/waypoints/waypoint.ts';
import type { GatewayServer } from '../../../envoy/gateways/server.ts';
import type { ServersOf } from '../../../envoy/gateways/servers/findings.ts';
import {
  gatewayServers,
  kindOfSet,
  letsIn,
  listenerSetServers,
  parentOfSet,
} from '../../../envoy/gateways/servers/gateway.ts';
import { ingressServers, isOurIngress } from '../../../envoy/gateways/servers/ingress.ts';
import { ingressGatewayLabels, istioGatewayServers } from '../../../envoy/gateways/servers/istio-gateway.ts';
import type { Condition } from '../../../model/workload.ts';
import type { Grants } from '../grants.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import { selectsNamespace } from './namespace-selection.ts';

/** Servers that one document asks for. */
export interface AskedServers extends ServersOf {
  /** `Gateway shop/web`. */
  readonly resource: string;
  /** Of the document. */
  readonly namespace: string;
  readonly at: AskedGateways;
  /** Why a ListenerSet is not let in; null: it is, or is none. */
  readonly refusal: { readonly reason: string; readonly message: string } | null;
}

/** Which gateways are to have them. */
export type AskedGateways =
  | { readonly kind: 'named'; readonly gateway: string }
  /** Any of the namespace (null: of all) whose pods have the labels, as far as it takes documents `from` that namespace. */
  | {
      readonly kind: 'selected';
      readonly namespace: string | null;
      readonly from: string;
      readonly labels: Labels;
    };

/** What documents ask of gateways, each worked out once. */
export class GatewayServers {
  readonly collections: readonly DerivedCollection<AskedServers>[];
  readonly #parts: DerivationParts;
  readonly #grants: Grants;
  readonly #byKind: ReadonlyMap<string, DerivedCollection<AskedServers>>;
  readonly #byGateway: readonly CollectionIndex<AskedServers>[];

  constructor(parts: DerivationParts, grants: Grants) {
    this.#parts = parts;
    this.#grants = grants;
    const [gateways, sets, istio] = [this.#ofGateways(), this.#ofSets(), this.#ofIstio()];
    this.collections = [gateways, sets, istio, this.#ofIngresses()];
    this.#byKind = new Map([
      ['Gateway', gateways],
      ['ListenerSet', sets],
      ['IstioGateway', istio],
    ]);
    this.#byGateway = this.collections.map((collection) => collection.index(({ at }) => [keyOf(at)]));
  }

  /** In the order of their documents' kinds and names. */
  of(gateway: GatewayGroup, read: Read): readonly AskedServers[] {
    const labels = new Set(gateway.labels.flatMap((set) => Object.entries(set).map(labelKey)));
    const keys = [namedKey(gateway.waypoint), ...(gateway.labels.length === 0 ? [] : [anyKey, ...[...labels].sort()])];
    return this.#byGateway
      .flatMap((index) => keys.flatMap((key) => read.byIndex(index, key)))
      .filter(({ at }) => isMeant(gateway, at));
  }

  /** Servers of `Gateway shop/web`, `ListenerSet shop/more` or `IstioGateway shop/web`; null: it is not there, or not ours. */
  ofDocument(resource: string, read: Read): readonly GatewayServer[] | null {
    const [kind = '', key = ''] = resource.split(' ');
    const collection = this.#byKind.get(kind);
    const asked = collection === undefined ? undefined : read.get(collection, key);
    return asked?.refusal === null ? asked.servers : null;
  }

  #ofGateways(): DerivedCollection<AskedServers> {
    const { graph, sources, contexts } = this.#parts;
    return graph.derive({
      name: 'servers of Gateways',
      from: sources.Gateway,
      reads: [...contexts.collections, ...this.#grants.collections],
      compute: (document, read): AskedServers | undefined => {
        const gateway = keyOfDocument(document);
        if (contexts.contextFor(read).gateways.get(gateway) === undefined) return undefined;
        const found = gatewayServers(document, this.#lookups(read));
        const conditions = found.conditions.map(aside);
        const { namespace } = document.metadata;
        const at = { kind: 'named', gateway } as const;
        return { ...found, conditions, resource: `Gateway ${gateway}`, namespace, at, refusal: null };
      },
    });
  }

  #ofSets(): DerivedCollection<AskedServers> {
    const { graph, sources, contexts } = this.#parts;
    return graph.derive({
      name: 'servers of ListenerSets',
      from: sources.ListenerSet,
      reads: [sources.Gateway, ...contexts.collections, ...this.#grants.collections],
      compute: (document, read) => this.#ofSet(document, read),
    });
  }

  #ofSet(document: ListenerSetDocument, read: Read): AskedServers | undefined {
    const { sources, contexts } = this.#parts;
    const gateway = parentOfSet(document);
    const parent = gateway === null ? undefined : read.get(sources.Gateway, gateway);
    const context = contexts.contextFor(read);
    if (gateway === null || parent === undefined || context.gateways.get(gateway) === undefined) return undefined;
    const { namespace } = document.metadata;
    const common = {
      resource: `${kindOfSet(document)} ${keyOfDocument(document)}`,
      namespace,
      at: { kind: 'named', gateway },
    } as const;
    if (letsIn(parent, document, (selector) => selectsNamespace(selector, namespace, context)))
      return { ...listenerSetServers(document, parent, this.#lookups(read)), ...common, refusal: null };
    const message = `Gateway ${gateway} lets no ListenerSet of ${namespace} in (spec.allowedListeners)`;
    const nothing = { servers: [], listeners: [], conditions: [] };
    return { ...nothing, ...common, refusal: { reason: 'NotAllowed', message } };
  }

  #ofIstio(): DerivedCollection<AskedServers> {
    const { graph, sources } = this.#parts;
    return graph.derive({
      name: 'servers of Istio Gateways',
      from: sources.IstioGateway,
      reads: [sources.MeshSettings],
      compute: (document: IstioGatewayDocument, read): AskedServers => {
        const { namespace: from } = document.metadata;
        const namespace = this.#settings(read).scopeGatewayToNamespace ? from : null;
        return {
          ...istioGatewayServers(document),
          resource: `IstioGateway ${keyOfDocument(document)}`,
          namespace: from,
          at: { kind: 'selected', namespace, from, labels: document.spec.selector },
          refusal: null,
        };
      },
    });
  }

  #ofIngresses(): DerivedCollection<AskedServers> {
    const { graph, sources } = this.#parts;
    return graph.derive({
      name: 'servers of Ingresses',
      from: sources.Ingress,
      reads: [sources.IngressClass, sources.MeshSettings],
      compute: (document: IngressDocument, read): AskedServers | undefined => {
        const named = read.get(sources.IngressClass, document.spec.ingressClassName ?? '') ?? null;
        if (!isOurIngress(document, named)) return undefined;
        const { namespace: from } = document.metadata;
        const namespace = ingressNamespace(this.#settings(read));
        return {
          ...ingressServers(document),
          resource: `Ingress ${keyOfDocument(document)}`,
          namespace: from,
          at: { kind: 'selected', namespace, from, labels: ingressGatewayLabels },
          refusal: null,
        };
      },
    });
  }

  #settings(read: Read): GatewaySettings {
    return read.get(this.#parts.sources.MeshSettings, settingsKey)?.spec ?? defaultMeshFields;
  }

  #lookups(read: Read): Parameters<typeof gatewayServers>[1] {
    return { granted: (from, to) => this.#grants.granted(from, to, read) };
  }
}

type GatewaySettings = Pick<
  MeshSettingsFields,
  'scopeGatewayToNamespace' | 'ingressGatewayNamespace' | 'rootNamespace'
>;

/** Keys of Ingresses are of all namespaces: they go to no gateway that a tenant may have made. */
function ingressNamespace({ ingressGatewayNamespace, rootNamespace }: GatewaySettings): string {
  return ingressGatewayNamespace === '' ? rootNamespace : ingressGatewayNamespace;
}

export function isMeant(gateway: GatewayGroup, at: AskedGateways): boolean {
  if (at.kind === 'named') return at.gateway === gateway.waypoint;
  const isInPlace = at.namespace === null || at.namespace === gateway.namespace;
  return isInPlace && takesFrom(gateway, at) && gateway.labels.some((set) => matchesLabels(at.labels, set));
}

/** What its Gateway says of labels lets others in, not what a pod happens to have; nobody is let in by naming no label. */
function takesFrom(
  { namespace, isDeclared, declaredLabels }: GatewayGroup,
  { from, labels }: SelectedGateways,
): boolean {
  if (from === namespace) return true;
  if (Object.keys(labels).length === 0 || Object.hasOwn(labels, gatewayNameLabel)) return false;
  return !isDeclared || matchesLabels(labels, declaredLabels);
}

type SelectedGateways = Extract<AskedGateways, { readonly kind: 'selected' }>;

const anyKey = 'any';

/** A Gateway of which a field is not honoured is in force for all that. */
function aside(said: Condition): Condition {
  return said.type === 'Accepted' ? { ...said, reason: 'ValueNotHonoured' } : said;
}

function namedKey(gateway: string): string {
  return `gateway ${gateway}`;
}

function labelKey(label: readonly [string, string]): string {
  return `label ${label.join('=')}`;
}

/** One of the labels is enough to find those who have them all. */
function keyOf(at: AskedGateways): string {
  if (at.kind === 'named') return namedKey(at.gateway);
  const [first] = Object.entries(at.labels).sort();
  return first === undefined ? anyKey : labelKey(first);
}

function keyOfDocument({
  metadata,
}: {
  readonly metadata: { readonly namespace: string; readonly name: string };
}): string {
  return `${metadata.namespace}/${metadata.name}`;
}
