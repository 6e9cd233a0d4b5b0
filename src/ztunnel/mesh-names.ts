import type { Change, StateDifference } from '../model/state-difference.ts';
import type { Service, Workload } from '../model/workload.ts';
import type { NameRecord, NativeEngine } from '../native/binding.ts';
import type { Slices } from '../timing/slices.ts';
import type { MeshView } from './mesh-view.ts';

/** Seconds; as ztunnel has it. */
const serviceTtl = 30;
/** Addresses of pods come and go. */
const endpointTtl = 5;

type NameSink = Pick<NativeEngine, 'setNames' | 'removeNames'>;
type NameView = Pick<MeshView, 'settings' | 'service' | 'endpoints'>;

/**
 * The names that the engine answers: hosts of services with addresses of their own, and those of headless services with
 * their endpoints. What has no address here is not named, so that queries for it go to the pod's resolver.
 */
export class MeshNames {
  readonly #engine: NameSink;
  readonly #view: NameView;
  /** Keys of the records that the engine has, by the key of their service. */
  readonly #sent = new Map<string, readonly string[]>();
  readonly #capture: boolean;
  /** A node none of whose pods asks us keeps no names. */
  #begun = false;

  /** @param capture whether name queries are captured of pods that say nothing */
  constructor(engine: NameSink, view: NameView, capture: boolean) {
    this.#engine = engine;
    this.#view = view;
    this.#capture = capture;
  }

  /** To be called once the view shows the new state. */
  async update(difference: StateDifference, slices: Slices): Promise<void> {
    const { localPods, services: all } = difference.next;
    const begins =
      !this.#begun && [...localPods.values()].some((pod) => pod.wanted && (pod.dnsCapture ?? this.#capture));
    this.#begun ||= begins;
    if (!this.#begun) return;
    const everything = begins || difference.settingsChanged;
    const services = everything ? new Set([...this.#sent.keys(), ...all.keys()]) : affected(difference);
    for (const key of services) {
      this.#send(key);
      if (slices.exhausted) await slices.pause();
    }
  }

  #send(key: string): void {
    const service = this.#view.service(key);
    const records = service === null ? [] : this.#recordsOf(key, service);
    const current = records.map((record) => record.key);
    const gone = (this.#sent.get(key) ?? []).filter((former) => !current.includes(former));
    if (gone.length > 0) this.#engine.removeNames(gone);
    if (records.length > 0) this.#engine.setNames(records);
    if (records.length > 0) this.#sent.set(key, current);
    else this.#sent.delete(key);
  }

  #recordsOf(key: string, service: Service): readonly NameRecord[] {
    const { clusterDomain } = this.#view.settings();
    const base = {
      name: service.hostname.toLowerCase(),
      namespace: service.namespace,
      public: service.visibility === 'public' && mayNameFor(service, clusterDomain),
      canonical: service.canonical,
    };
    if (service.vips.length > 0) {
      return [{ ...base, key, addresses: service.vips.filter(isOffered(service)), ttl: serviceTtl }];
    }
    if (!isHeadless(service, clusterDomain)) return [];
    const endpoints = this.#view.endpoints(key).filter((endpoint) => isPublished(endpoint, service));
    const addresses = endpoints.flatMap((endpoint) => endpoint.addresses.filter(isOffered(service)));
    if (addresses.length === 0) return [];
    return [{ ...base, key, addresses, ttl: endpointTtl }, ...podRecords(endpoints, base, service)];
  }
}

/** Names that the pods of a stateful set have below that of their headless service. */
function podRecords(
  endpoints: readonly Workload[],
  base: Omit<NameRecord, 'key' | 'addresses' | 'ttl'>,
  service: Service,
): readonly NameRecord[] {
  return endpoints.filter(isStateful).map((pod) => {
    const name = `${pod.name.toLowerCase()}.${base.name}`;
    const addresses = pod.addresses.filter(isOffered(service));
    return { ...base, key: `${service.namespace}/${name}`, name, addresses, ttl: endpointTtl };
  });
}

/** The controller counts them: `web-0` of the set `web`. */
function isStateful({ name, workloadName, podUid }: Workload): boolean {
  const ordinal = name.slice(workloadName.length + 1);
  return podUid !== null && name === `${workloadName}-${ordinal}` && /^\d+$/.test(ordinal);
}

function isPublished({ status }: Workload, { loadBalancing }: Service): boolean {
  return status === 'healthy' || loadBalancing.healthPolicy === 'allow-all';
}

function isOffered({ ipFamilies }: Service): (address: string) => boolean {
  if (ipFamilies === 'ipv4') return (address) => !address.includes(':');
  if (ipFamilies === 'ipv6') return (address) => address.includes(':');
  return () => true;
}

/** A Service of Kubernetes without an address; an entry without one is somebody's whom the pod's resolver knows. */
function isHeadless({ hostname, name, namespace }: Service, clusterDomain: string): boolean {
  return hostname === `${name}.${namespace}.svc.${clusterDomain}`;
}

/**
 * Whether other namespaces may hear of the host. Below the cluster's own domain a namespace speaks for its own services only,
 * and nobody by a wildcard that covers those of others: else an entry would take a name over that somebody else is to have.
 */
function mayNameFor({ hostname, namespace }: Service, clusterDomain: string): boolean {
  const name = hostname.toLowerCase();
  const domain = clusterDomain.toLowerCase();
  const isWildcard = name.startsWith('*.');
  const parent = isWildcard ? name.slice(2) : name;
  if (isWildcard && `.${domain}`.endsWith(`.${parent}`)) return false;
  if (parent !== domain && !parent.endsWith(`.${domain}`)) return true;
  return name.endsWith(`.${namespace}.svc.${domain}`);
}

function affected({ services, workloads }: StateDifference): ReadonlySet<string> {
  const ofWorkloads = workloads.flatMap(({ before, after }: Change<Workload>) => [
    ...(before?.services.keys() ?? []),
    ...(after?.services.keys() ?? []),
  ]);
  return new Set([...services.map(({ key }) => key), ...ofWorkloads]);
}
