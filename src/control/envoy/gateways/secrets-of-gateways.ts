import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import { buildGatewaySecret } from '../../../envoy/gateways/secrets.ts';
import { secretResourceName } from '../../../envoy/gateways/secret-names.ts';
import type { SecretReference } from '../../../envoy/gateways/server.ts';
import type { SecretReading } from '../../../envoy/gateways/secret-reading.ts';
import { SecretSchema } from '../../../proto/gen/envoy-api/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import type { WaypointResources } from '../destinations.ts';
import { resourceTypes } from '../resource-types.ts';
import { waypointResource } from '../waypoint-resource.ts';
import type { WaypointResource } from '../waypoint-resource.ts';
import type { GatewayClaims } from './gateway-claims.ts';
import type { GatewaySecrets } from './gateway-secrets.ts';
import { referencesOf } from './named-secrets.ts';

/** What is to be known of a secret without what is in it. */
export interface SecretState {
  /** `Secret shop/certificate`. */
  readonly resource: string;
  /** To be read after the resource; null: it can be used. */
  readonly problem: string | null;
  /** Whether it may be there for all that: what names it stays, and proxies keep what they have of it. */
  readonly awaited: boolean;
  /** Of a certificate that is shown though it is not good any more, to be read likewise. */
  readonly expired: string | null;
  /** Of a certificate that can be used; null: unknown, or of roots. */
  readonly keyType: string | null;
  readonly remarks: readonly string[];
}

/** One secret of one gateway; nothing of it is to be shown but its state. */
export interface SecretOfGateway extends WaypointResources {
  readonly state: SecretState;
}

/** Certificates and roots of each gateway: of those alone that its servers name, and for its proxies alone. */
export class SecretsOfGateways {
  /** By gateway and name. */
  readonly resources: DerivedCollection<SecretOfGateway>;
  /** Likewise. A certificate that is renewed changes nothing here, nor in what is made of it. */
  readonly #states: DerivedCollection<SecretState>;

  constructor(graph: CollectionGraph, claims: DerivedCollection<GatewayClaims>, secrets: GatewaySecrets) {
    const named = claims.index((claim) => [...claim.secrets.keys()].map((name) => secretKey(claim.gateway, name)));
    this.resources = graph.group<SecretOfGateway>({
      name: 'secrets of gateways',
      from: [named],
      reads: secrets.collections,
      compute: (key, read) => secretOf(key, named, secrets, read),
    });
    this.#states = graph.derive<SecretOfGateway, SecretState>({
      name: 'states of secrets',
      from: this.resources,
      compute: ({ state }) => state,
    });
  }

  get collections(): readonly DerivedCollection<SecretState>[] {
    return [this.#states];
  }

  /** @param own namespace of the gateway's pods */
  stateOf(gateway: string, reference: SecretReference, own: string, read: Read): SecretState {
    const name = secretResourceName(reference, own);
    return (
      read.get(this.#states, secretKey(gateway, name)) ?? {
        resource: name,
        problem: 'is not there',
        awaited: false,
        expired: null,
        keyType: null,
        remarks: [],
      }
    );
  }
}

/** No name of a gateway has a blank in it. */
function secretKey(gateway: string, name: string): string {
  return `${gateway} ${name}`;
}

function secretOf(
  key: string,
  named: CollectionIndex<GatewayClaims>,
  secrets: GatewaySecrets,
  read: Read,
): SecretOfGateway | undefined {
  const [claims] = read.byIndex(named, key);
  const reference = claims?.secrets.get(key.slice(key.indexOf(' ') + 1));
  if (claims === undefined || reference === undefined) return undefined;
  const { name, resource, reading, awaited } = secrets.find(reference, claims.namespace, read);
  const origins = [resource, ...originsOf(claims, name)];
  return {
    waypoint: claims.gateway,
    resources: reading.ok ? [encoded(name, reading, origins)] : awaited ? [awaitedResource(name, origins)] : [],
    conditions: [],
    state: stateOf(resource, reading, awaited),
  };
}

function encoded(name: string, { secret }: Extract<SecretReading, { readonly ok: true }>, origins: readonly string[]) {
  return waypointResource(resourceTypes.secrets, SecretSchema, name, buildGatewaySecret(secret), origins);
}

/** Takes the place of what may still come, so that nobody is told that there is nothing. */
function awaitedResource(name: string, origins: readonly string[]): WaypointResource {
  return { type: resourceTypes.secrets, name, version: '', entry: '', origins, awaited: true };
}

function stateOf(resource: string, reading: SecretReading, awaited: boolean): SecretState {
  if (!reading.ok) return { resource, problem: reading.problem, awaited, expired: null, keyType: null, remarks: [] };
  const { expired, keyType, remarks } = reading;
  return { resource, problem: null, awaited, expired, keyType, remarks };
}

/** Documents whose servers name it. */
function originsOf({ asked, secrets, namespace }: GatewayClaims, name: string): readonly string[] {
  if (!secrets.has(name)) return [];
  const naming = asked.filter(({ servers }) =>
    servers.flatMap(referencesOf).some((reference) => secretResourceName(reference, namespace) === name),
  );
  return naming.map(({ resource }) => resource);
}
