import { request } from 'node:https';

import type { Cluster } from './cluster.ts';

interface KubeconfigView {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
  }[];
}

export type Verb = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Speaks to the API server as whoever has a token, and as nobody else. */
export class ApiCaller {
  readonly #server: string;
  readonly #authority: Buffer;
  readonly #token: string;

  private constructor(server: string, authority: Buffer, token: string) {
    this.#server = server;
    this.#authority = authority;
    this.#token = token;
  }

  static async create(cluster: Cluster, token: string): Promise<ApiCaller> {
    const text = await cluster.kubectl(['config', 'view', '--raw', '--minify', '--output', 'json']);
    const [entry] = (JSON.parse(text) as KubeconfigView).clusters;
    if (entry === undefined) throw new Error('the kubeconfig names no cluster');
    const authority = Buffer.from(entry.cluster['certificate-authority-data'], 'base64');
    return new ApiCaller(entry.cluster.server, authority, token);
  }

  /** The status of the answer. A body is JSON; patches are merge patches. */
  async status(verb: Verb, path: string, body: object | null = null): Promise<number> {
    const text = body === null ? '' : JSON.stringify(body);
    const type = verb === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return new Promise((resolve, reject) => {
      const call = request(`${this.#server}${path}`, {
        method: verb,
        ca: this.#authority,
        agent: false,
        timeout: 20_000,
        headers: {
          authorization: `Bearer ${this.#token}`,
          'content-type': type,
          'content-length': Buffer.byteLength(text),
        },
      });
      call.once('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      call.once('timeout', () => call.destroy(new Error(`${verb} ${path}: no answer`)));
      call.once('error', reject);
      call.end(text);
    });
  }
}
