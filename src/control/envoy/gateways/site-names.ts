import type { GatewayServer } from '../../../envoy/gateways/server.ts';

type Named = Pick<GatewayServer, 'protocol' | 'section' | 'name' | 'namespace' | 'kind'>;

/** Names of what is served on one port of a gateway, as Istio has them: `https.8443.SECTION.GATEWAY.NAMESPACE`; each once. */
export class SiteNames {
  readonly #number: number;
  readonly #given = new Set<string>();

  /** @param number that is listened on */
  constructor(number: number) {
    this.#number = number;
  }

  /** Of what all servers of the port share. */
  shared(protocol: 'http' | 'tcp'): string {
    return `${protocol}.${this.#number}`;
  }

  of({ protocol, section, name, namespace, kind }: Named): string {
    // Documents of several kinds may have one name.
    const of = kind === 'IstioGateway' ? '' : `.${kind}`;
    const wanted = `${protocol}.${this.#number}.${section}.${name}.${namespace}${of}`;
    return this.#first(wanted, 1);
  }

  /** Servers of one Istio Gateway may have one name. */
  #first(wanted: string, count: number): string {
    const candidate = count === 1 ? wanted : `${wanted}.${count}`;
    if (this.#given.has(candidate)) return this.#first(wanted, count + 1);
    this.#given.add(candidate);
    return candidate;
  }
}
