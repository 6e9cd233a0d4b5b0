import assert from 'node:assert/strict';

import type { Manifest } from '../../manifests.ts';
import type { MeshWaypoint } from '../manifest-suite.ts';
import { ask, askHttp2 } from '../requests.ts';
import type { Answer } from '../requests.ts';
import { addressOf, ports, seenIn } from './world.ts';
import type { EchoName, EchoServers } from './world.ts';

/** What documents do to requests for the service `echo`, and what is said of them. */
export interface EchoCase {
  readonly name: string;
  /** @param space the namespace of the case, whose services are `echo`, `echo-v1` and `echo-v2` */
  readonly documents: (space: string) => readonly Manifest[];
  readonly checks: readonly Check[];
  /** What is said of its documents, `Type/Reason`; unless given everything is accepted and resolved. */
  readonly conditions?: readonly string[];
  /** What no single answer shows. */
  readonly also?: (client: EchoClient) => Promise<void>;
}

type Headers = Readonly<Record<string, string>>;

export interface Wanted {
  readonly to?: EchoName;
  readonly port?: number;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Headers;
  /** Namespace of the client; that of the case unless given. */
  readonly from?: string;
  readonly grpc?: boolean;
  /** Of the client's pod, as the node's engine writes them: `k=v,k=v`. */
  readonly labels?: string;
}

/** Only what is given is looked at. Of headers null means: not there. */
export interface Expected {
  readonly status?: number;
  readonly server?: 'v1' | 'v2';
  readonly headers?: Readonly<Record<string, string | null>>;
  /** What the server has seen of the request. */
  readonly path?: string;
  readonly seen?: Readonly<Record<string, string | null>>;
  readonly grpcStatus?: string;
}

export interface Check {
  /** @param space of the case */
  readonly ask: (space: string) => Wanted;
  readonly expect: Expected;
}

export function check(wanted: Wanted | ((space: string) => Wanted), expect: Expected): Check {
  return { ask: typeof wanted === 'function' ? wanted : () => wanted, expect };
}

export function call(headers: Headers, expect: Expected): Check {
  return check({ grpc: true, headers }, expect);
}

/** A client of one case. */
export class EchoClient {
  readonly space: string;
  readonly #place: number;
  readonly #waypoint: () => MeshWaypoint<EchoServers>;

  constructor(space: string, place: number, waypoint: () => MeshWaypoint<EchoServers>) {
    this.space = space;
    this.#place = place;
    this.#waypoint = waypoint;
  }

  get servers(): EchoServers {
    return this.#waypoint().servers;
  }

  async ask({ to = 'echo', from = this.space, grpc = false, labels = '', ...wanted }: Wanted): Promise<Answer> {
    const { port = grpc ? ports.grpc : ports.http, path = '/', method = 'GET', headers = {} } = wanted;
    const facts = new Map([
      [0xd0, `spiffe://cluster.local/ns/${from}/sa/client`],
      [0xe7, labels],
    ]);
    const socket = await this.#waypoint().envoy.connect(addressOf(to, this.#place), port, { facts });
    if (!grpc) return ask(socket, { path, method, headers: { host: to, ...headers } });
    const called = { 'content-type': 'application/grpc', te: 'trailers', ...headers };
    const service = path === '/' ? '/gateway.Echo/Echo' : path;
    return askHttp2(socket, { method: 'POST', path: service, headers: called, body: 'x' });
  }

  /** How many of so many requests each server has had. */
  async count(requests: number, wanted: Wanted): Promise<Readonly<Record<'v1' | 'v2', number>>> {
    const counts = { v1: 0, v2: 0 };
    for (let index = 0; index < requests; index++) {
      const { headers } = await this.ask(wanted);
      counts[headers['x-server'] as 'v1' | 'v2']++;
    }
    return counts;
  }

  async prove({ ask: wanted, expect }: Check): Promise<void> {
    const asked = wanted(this.space);
    const answer = await this.ask(asked);
    const { status = 200, server, headers = {}, path, seen = {}, grpcStatus } = expect;
    const what = JSON.stringify(asked);
    assert.equal(answer.status, status, what);
    if (server !== undefined) assert.equal(answer.headers['x-server'], server, what);
    for (const [name, value] of Object.entries(headers))
      assert.equal(answer.headers[name] ?? null, value, `${what} ${name}`);
    if (path !== undefined) assert.equal(seenIn(answer.body).path, path, what);
    for (const [name, value] of Object.entries(seen)) {
      assert.equal(
        seenIn(answer.body).headers[name]?.toString().replaceAll(', ', ',') ?? null,
        value,
        `${what} ${name}`,
      );
    }
    if (grpcStatus !== undefined)
      assert.equal(answer.trailers['grpc-status'] ?? answer.headers['grpc-status'], grpcStatus, what);
  }
}
