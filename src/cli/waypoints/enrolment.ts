import { AmbitError } from '../../config/errors.ts';
import { joins } from '../../derive/membership.ts';
import { useLabel } from './gateways.ts';
import type { Api } from './gateways.ts';

interface LiveNamespace {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
}

/** A namespace that is to go through a waypoint. */
export class Enrolment {
  readonly #api: Api;
  readonly #namespace: string;
  readonly #waypoint: string;

  constructor(api: Api, namespace: string, waypoint: string) {
    this.#api = api;
    this.#namespace = namespace;
    this.#waypoint = waypoint;
  }

  /**
   * Looks before anything is changed.
   *
   * @returns whether its pods are of the mesh
   * @throws AmbitError `WAYPOINT_TAKEN` where it goes through another one
   */
  async check(overwrite: boolean): Promise<boolean> {
    const { metadata } = (await this.#api.send({ method: 'GET', path: this.#path })) as LiveNamespace;
    const { labels = {} } = metadata;
    const former = labels[useLabel] ?? this.#waypoint;
    if (former !== this.#waypoint && !overwrite) {
      const advice = 'give --overwrite to change that';
      throw new AmbitError('WAYPOINT_TAKEN', `the namespace ${this.#namespace} has ${useLabel}=${former}: ${advice}`);
    }
    return joins(labels, { excludedNamespaces: [], injectionLabel: 'ignore' });
  }

  async apply(): Promise<void> {
    await this.#api.send({
      method: 'PATCH',
      path: this.#path,
      contentType: 'application/merge-patch+json',
      body: { metadata: { labels: { [useLabel]: this.#waypoint } } },
    });
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#namespace}`;
  }
}
