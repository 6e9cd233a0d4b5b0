import type { Resources } from '../config/manifests/resources.ts';
import type { Condition } from '../model/workload.ts';
import type { Context } from './context.ts';
import { groupByNamespace, groupedBy } from './context.ts';
import { serviceEntrySources } from './service-entries.ts';
import { settleHostname, sourceKey, sourceText } from './service-sources.ts';
import type { ServiceSource } from './service-sources.ts';
import { serviceSource } from './services.ts';

/** All services in force, by what they are looked up by. */
export class ServiceRegistry {
  readonly all: readonly ServiceSource[];
  readonly conditions: readonly Condition[];
  readonly #byKey: ReadonlyMap<string, ServiceSource>;
  readonly #byNamespace: ReadonlyMap<string, readonly ServiceSource[]>;
  readonly #byDocument: ReadonlyMap<string, readonly ServiceSource[]>;

  constructor(resources: Resources, { settings }: Context) {
    const sources = [
      ...resources.services.flatMap((document) => serviceSource(document, settings) ?? []),
      ...resources.serviceEntries.flatMap((document) => serviceEntrySources(document, settings)),
    ];
    const hostnames = [...groupedBy(sources, ({ service }) => service.hostname).values()].map(settleHostname);
    this.all = hostnames.flatMap(({ chosen }) => chosen);
    this.conditions = hostnames.flatMap(({ conditions }) => conditions);
    this.#byKey = new Map(this.all.map((source) => [sourceKey(source), source]));
    this.#byNamespace = groupByNamespace(this.all);
    this.#byDocument = groupedBy(this.all, sourceText);
  }

  inNamespace(namespace: string): readonly ServiceSource[] {
    return this.#byNamespace.get(namespace) ?? [];
  }

  /** A Kubernetes Service by `namespace/hostname`. */
  kubernetesService(key: string): ServiceSource | null {
    const source = this.#byKey.get(key);
    return source?.kind === 'Service' ? source : null;
  }

  /** Services of one document, named as `ServiceEntry namespace/name`. */
  ofDocument(text: string): readonly ServiceSource[] {
    return this.#byDocument.get(text) ?? [];
  }
}
