import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { DeltaStream } from '../../../src/control/discovery/delta-stream.ts';
import { readRequest } from '../../../src/control/discovery/request.ts';
import type { ResourceStore } from '../../../src/control/resources/resource-store.ts';
import type { MeshState, Service, Workload } from '../../../src/model/workload.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { DeltaDiscoveryResponse } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { Turns } from '../../../src/timing/turns.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { StateStore } from '../../support/discovery.ts';
import { silentLogger } from '../../support/loggers.ts';
import { settled } from '../../support/manual-timers.ts';
import { meshSettings, meshState, NODE, service, serviceKey, workload } from '../../support/mesh-builders.ts';

/** `whole`: a wildcard whose first response holds everything. */
type Mode = 'wildcard' | 'whole' | 'named';

const typeUrl = typeUrls.address;
const node = NODE;
const serviceNames = ['a', 'b'];
const vips = ['10.1.0.1', '10.1.0.2'];
const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const keyOf = (name: string): string => serviceKey(service(name));

/** Small enough that everything meets everything: shared addresses, services without endpoints, endpoints without. */
const workloads: fc.Arbitrary<readonly Workload[]> = fc.uniqueArray(
  fc
    .tuple(
      fc.constantFrom('w1', 'w2', 'w3', 'w4'),
      fc.constantFrom(...addresses),
      fc.subarray(serviceNames),
      fc.constantFrom(NODE, 'node-2'),
      fc.constantFrom<Workload['status']>('healthy', 'unhealthy'),
    )
    .map(([name, address, members, on, status]) =>
      workload(name, {
        addresses: [address],
        node: on,
        status,
        services: new Map(members.map((member) => [keyOf(member), new Map([[80, 8080]])])),
      }),
    ),
  { selector: ({ uid }) => uid },
);
const services: fc.Arbitrary<readonly Service[]> = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom(...serviceNames), fc.subarray(vips), fc.integer({ min: 1, max: 3 }))
    .map(([name, own, port]) => service(name, { vips: own, ports: new Map([[80, port]]) })),
  { selector: ({ name }) => name },
);
const states: fc.Arbitrary<MeshState> = fc
  .tuple(workloads, services, fc.constantFrom('', 'net'))
  .map(([w, s, network]) => meshState({ workloads: w, services: s, settings: meshSettings({ network }) }));

const names = [
  ...['', 'net'].flatMap((network) => [...addresses, ...vips].map((address) => `${network}/${address}`)),
  ...serviceNames.map(keyOf),
  ...['w1', 'w2', 'w3', 'w4'].map((name) => workload(name).uid),
];

type Step =
  | { readonly kind: 'state'; readonly state: MeshState }
  | { readonly kind: 'subscribe'; readonly name: string }
  | { readonly kind: 'unsubscribe'; readonly name: string }
  | { readonly kind: 'answer'; readonly reject: boolean }
  | { readonly kind: 'reconnect' };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    states.map((state): Step => ({ kind: 'state', state })),
    fc.constantFrom(...names).map((name): Step => ({ kind: 'subscribe', name })),
    fc.constantFrom(...names).map((name): Step => ({ kind: 'unsubscribe', name })),
    fc.boolean().map((reject): Step => ({ kind: 'answer', reject })),
    fc.constant<Step>({ kind: 'reconnect' }),
  ),
  { maxLength: 25 },
);

/** A client that answers when it is told to, and applies what it gets at that moment. */
class SlowClient {
  readonly held = new Map<string, string>();
  readonly #store: ResourceStore;
  readonly #mode: Mode;
  readonly #names = new Set<string>();
  #waiting: DeltaDiscoveryResponse[] = [];
  #stream: DeltaStream;

  constructor(store: ResourceStore, mode: Mode) {
    this.#store = store;
    this.#mode = mode;
    this.#stream = this.#open();
  }

  /** @returns whether there was anything to answer */
  async answer(reject: boolean): Promise<boolean> {
    const response = this.#waiting.shift();
    if (response === undefined) return false;
    for (const { name, version } of response.resources) this.held.set(name, version);
    for (const name of response.removedResources) this.held.delete(name);
    const error = reject ? { errorDetail: { code: 3, message: 'refused' } } : {};
    await this.send({ typeUrl, responseNonce: response.nonce, ...error });
    return true;
  }

  async start(): Promise<void> {
    const initialResourceVersions = Object.fromEntries(this.held);
    if (this.#mode !== 'named') await this.send({ typeUrl, initialResourceVersions });
    else
      await this.send({
        typeUrl,
        initialResourceVersions,
        resourceNamesSubscribe: ['*', ...this.#names],
        resourceNamesUnsubscribe: ['*'],
      });
  }

  /** What was on its way is lost. */
  async reconnect(): Promise<void> {
    this.#stream.close();
    this.#waiting = [];
    this.#stream = this.#open();
    await this.start();
  }

  async subscribe(name: string): Promise<void> {
    this.#names.add(name);
    await this.send({ typeUrl, resourceNamesSubscribe: [name] });
  }

  async unsubscribe(name: string): Promise<void> {
    if (!this.#names.delete(name)) return;
    this.held.delete(name);
    await this.send({ typeUrl, resourceNamesUnsubscribe: [name] });
  }

  async send(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): Promise<void> {
    const bytes = toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request));
    await this.#stream.receive(readRequest(Buffer.from(bytes)));
    await settled();
  }

  async drain(): Promise<void> {
    do {
      // What is collected may take more than one turn of the loop.
      for (let turn = 0; turn < 3; turn++) await settled();
    } while (await this.answer(false));
  }

  /** What a client gets that comes with the same wishes and nothing else. */
  async fresh(): Promise<SlowClient> {
    const other = new SlowClient(this.#store, this.#mode);
    for (const name of this.#names) other.#names.add(name);
    await other.start();
    await other.drain();
    other.close();
    return other;
  }

  close(): void {
    this.#stream.close();
  }

  #open(): DeltaStream {
    return new DeltaStream({
      store: this.#store,
      node,
      paging: { whole: this.#mode === 'whole', entries: 2, bytes: 1000 },
      turns: new Turns(),
      identifier: 'test',
      sendBulk: (send) => send(),
      onSettled: () => undefined,
      onFailed: (error) => {
        throw error;
      },
      logger: silentLogger,
      observer: { pushed: () => undefined, acknowledged: () => undefined, rejected: () => undefined },
      write: (bytes) => {
        this.#waiting.push(fromBinary(DeltaDiscoveryResponseSchema, bytes));
        return Promise.resolve();
      },
    });
  }
}

for (const mode of ['wildcard', 'whole', 'named'] as const) {
  test(`whatever happens in between, a ${mode} client ends with what a fresh one gets`, async () => {
    await fc.assert(
      fc.asyncProperty(states, steps, async (initial, happenings) => {
        const source = new StateStore();
        await source.set(initial);
        const client = new SlowClient(source.store, mode);
        await client.start();
        for (const step of happenings) {
          if (step.kind === 'state') await source.set(step.state);
          else if (step.kind === 'answer') await client.answer(step.reject);
          else if (step.kind === 'reconnect') await client.reconnect();
          else if (mode === 'named') await client[step.kind](step.name);
        }
        await client.drain();
        const expected = await client.fresh();
        client.close();
        assert.deepEqual(sorted(client.held), sorted(expected.held));
      }),
      { numRuns: 150 },
    );
  });
}

test('a fresh wildcard client gets exactly what is in force', async () => {
  await fc.assert(
    fc.asyncProperty(states, states, async (before, after) => {
      const source = new StateStore();
      await source.set(before);
      await source.set(after);
      const client = new SlowClient(source.store, 'wildcard');
      await client.start();
      await client.drain();
      client.close();
      assert.deepEqual([...client.held.keys()].sort(), [...after.workloads.keys(), ...after.services.keys()].sort());
    }),
    { numRuns: 50 },
  );
});

function sorted(held: ReadonlyMap<string, string>): readonly (readonly [string, string])[] {
  return [...held].sort(([left], [right]) => (left < right ? -1 : 1));
}
