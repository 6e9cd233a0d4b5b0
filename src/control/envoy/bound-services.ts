import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { condition } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { limited } from '../../derive/limited.ts';
import { sourceKey, sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource, SettledHostname } from '../../derive/service-sources.ts';
import type { Waypoint } from '../../derive/waypoints/waypoint.ts';
import type { BoundService, DestinationName } from '../../envoy/model.ts';
import { carriedBy } from '../../envoy/port-plan.ts';
import { asksOfConnections } from '../../envoy/security/connection-rules.ts';
import type { Condition } from '../../model/workload.ts';
import type { AttachedRoutes } from './attached-routes.ts';
import type { HostChoice } from './host-choice.ts';
import type { HostedRules } from './hosted-rules.ts';
import { isMeantBy, withMeantOnly } from './meant-destinations.ts';
import type { MeshLookups } from './mesh-lookups.ts';
import { boundPorts } from './port-rules.ts';
import { hostnamesNamed } from './named-destinations.ts';
import type { SecurityParts } from './security-parts.ts';
import { waypointKey } from './waypoint-places.ts';
import type { WaypointPlaces } from './waypoint-places.ts';

/** A service whose traffic goes through a waypoint, with all that is asked for it there. */
export interface ServiceAtWaypoint {
  /** `namespace/name` of the Gateway. */
  readonly waypoint: string;
  /** null: another service has its hostname there. */
  readonly service: BoundService | null;
  /** What its right to its addresses is; null as above. */
  readonly claim: AddressClaim | null;
  /** Hosts that its rules send to, its own among them. */
  readonly hostnames: readonly string[];
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

/** What tells which of several services with one address comes first. */
export interface AddressClaim extends Pick<ServiceSource, 'kind' | 'metadata'> {
  readonly confined: boolean;
}

export interface BoundServiceInputs {
  readonly lookups: MeshLookups;
  readonly choice: HostChoice;
  readonly routes: AttachedRoutes;
  readonly hosted: HostedRules;
  readonly places: WaypointPlaces;
  readonly security: SecurityParts;
}

/** By `namespace/hostname`. Services without a waypoint cost nothing here. */
export class BoundServices {
  readonly collection: DerivedCollection<ServiceAtWaypoint>;
  readonly #hostnames: DerivedCollection<SettledHostname>;
  readonly #bound: CollectionIndex<SettledHostname>;
  readonly #inputs: BoundServiceInputs;

  constructor({ graph, services }: DerivationParts, inputs: BoundServiceInputs) {
    this.#inputs = inputs;
    this.#hostnames = services.hostnames;
    this.#bound = services.hostnames.index(({ chosen }) => chosen.filter(isBound).map(sourceKey));
    const { lookups, routes, hosted, places, security } = inputs;
    this.collection = graph.group<ServiceAtWaypoint>({
      name: 'services at waypoints',
      from: [this.#bound],
      ofMembers: true,
      reads: [
        ...lookups.collections,
        ...routes.collections,
        ...hosted.collections,
        ...places.collections,
        ...security.collections,
      ],
      compute: (key, read) => this.#compute(key, read),
    });
  }

  get collections(): readonly AnyCollection[] {
    return [this.collection, this.#hostnames];
  }

  #compute(key: string, read: Read): ServiceAtWaypoint | undefined {
    const chosen = read.byIndex(this.#bound, key).flatMap((settled) => settled.chosen);
    const source = chosen.find((candidate) => sourceKey(candidate) === key);
    const place = source?.service.waypoint;
    const waypoint = place == null ? null : this.#inputs.places.at(place, read);
    if (source === undefined || waypoint === null) return undefined;
    const known = this.#inputs.choice.at(waypointKey(waypoint), source.service.hostname, read);
    return known === undefined || sourceKey(known) === key
      ? this.#serviceAt(waypoint, source, read)
      : beaten(waypoint, source, known);
  }

  #serviceAt(waypoint: Waypoint, source: ServiceSource, read: Read): ServiceAtWaypoint {
    const { service } = source;
    const { ports, conditions, origins } = boundPorts(source, waypoint, this.#inputs, read);
    const guarded = this.#inputs.security.ofService(source, waypoint, origins, read);
    const asked: BoundService = {
      namespace: service.namespace,
      hostname: service.hostname,
      addresses: service.vips,
      ports,
      security: guarded.security,
    };
    const others = new Map<string, ServiceSource>();
    const bound = withMeantOnly(asked, (name) => this.#isMeant(name, waypoint, others, read));
    return {
      waypoint: waypointKey(waypoint),
      service: bound,
      claim: { kind: source.kind, metadata: source.metadata, confined: source.confined === true },
      hostnames: hostnamesNamed(bound),
      origins: [sourceText(source), ...origins, ...guarded.origins],
      conditions: limited([...conditions, ...misnamed(waypoint, source, others), ...unasked(bound)]),
    };
  }

  /** @param others is told what the waypoint knows instead */
  #isMeant(name: DestinationName, waypoint: Waypoint, others: Map<string, ServiceSource>, read: Read): boolean {
    const known = this.#inputs.choice.at(waypointKey(waypoint), name.hostname, read);
    if (known === undefined || isMeantBy(name, known)) return true;
    others.set(name.hostname, known);
    return false;
  }
}

/** Policies that deny on ports of bytes what their authorizer cannot be asked about there. */
function unasked(service: BoundService): readonly Condition[] {
  const bytes = service.ports.filter((port) => carriedBy(service, port) !== 'http').map(({ number }) => number);
  if (bytes.length === 0) return [];
  return service.security.policies
    .filter(({ provider, dryRun }) => !dryRun && provider !== null && !asksOfConnections(provider))
    .map(({ name, provider }) => {
      const message = `spec.provider.name: ${provider?.name ?? ''} is asked over HTTP, about requests alone: on ports of ${service.hostname} that carry bytes (${bytes.join(', ')}) what the rules name is denied`;
      return condition(`AuthorizationPolicy ${name}`, 'WaypointAccepted', 'PartiallyInvalid', message);
    });
}

/** Where the traffic to a service goes through a waypoint; a waypoint's own stand-in has none. */
function isBound({ service, kind }: ServiceSource): boolean {
  return service.waypoint !== null && kind !== 'Gateway';
}

function misnamed(
  waypoint: Waypoint,
  source: ServiceSource,
  others: ReadonlyMap<string, ServiceSource>,
): readonly Condition[] {
  return [...others].map(([hostname, known]) => {
    const message = `what its rules send to ${hostname} is refused: the waypoint ${waypointKey(waypoint)} knows that name as ${sourceText(known)}`;
    return condition(sourceText(source), 'Accepted', 'HostnameConflict', message);
  });
}

/** Envoy's names hold no namespace: of two services with one hostname it can know one. */
function beaten(waypoint: Waypoint, source: ServiceSource, rival: ServiceSource): ServiceAtWaypoint {
  const message = `the waypoint ${waypointKey(waypoint)} knows ${source.service.hostname} as ${sourceText(rival)}: connections to this one are refused there`;
  return {
    waypoint: waypointKey(waypoint),
    service: null,
    claim: null,
    hostnames: [],
    origins: [],
    conditions: [condition(sourceText(source), 'Accepted', 'HostnameConflict', message)],
  };
}
