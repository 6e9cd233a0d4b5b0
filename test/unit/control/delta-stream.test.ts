import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { DeltaStream } from '../../../src/control/discovery/delta-stream.ts';
import { nothingHeld } from '../../../src/control/discovery/request.ts';
import type { DiscoveryRequest, HeldVersions } from '../../../src/control/discovery/request.ts';
import { usualPaging } from '../../../src/control/discovery/subscription.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { Turns } from '../../../src/timing/turns.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { StateStore } from '../../support/discovery.ts';
import { silentLogger } from '../../support/loggers.ts';
import { meshState, policy, workload } from '../../support/mesh-builders.ts';
import { waitFor } from '../../support/wait.ts';

/** A stream to a client that takes what it is sent only when it is told to. */
async function newStream(context: TestContext) {
  const source = new StateStore();
  await source.set(meshState());
  const failures: unknown[] = [];
  const waiting: { readonly nonce: string; readonly taken: () => void }[] = [];
  const stream = new DeltaStream({
    store: source.store,
    node: null,
    paging: usualPaging,
    turns: new Turns(),
    identifier: 'test',
    sendBulk: (send) => send(),
    onSettled: () => undefined,
    onFailed: (error) => failures.push(error),
    logger: silentLogger,
    observer: { pushed: () => undefined, acknowledged: () => undefined, rejected: () => undefined },
    write: (bytes) =>
      new Promise((taken) => {
        waiting.push({ nonce: fromBinary(DeltaDiscoveryResponseSchema, bytes).nonce, taken });
      }),
  });
  context.after(() => {
    stream.close();
  });
  return { source, stream, waiting, failures };
}

function request(typeUrl: string, fields: Partial<DiscoveryRequest> = {}): DiscoveryRequest {
  return { ...create(DeltaDiscoveryRequestSchema, { typeUrl }), held: nothingHeld, ...fields };
}

/** A version that a client names, and after it bytes that are no message. */
function unreadable(): HeldVersions {
  let count = 0;
  const next = (): boolean => {
    if (++count > 1) throw new RangeError('the bytes are no message');
    return true;
  };
  return { ...nothingHeld, next, name: 'a', version: 'v' };
}

test('what fails while a change is sent ends the stream, and not the process', async (context) => {
  const { source, stream, waiting, failures } = await newStream(context);
  const first = stream.receive(request(typeUrls.authorization));
  await waitFor(() => waiting.length === 1, { interval: 2 });
  waiting[0]?.taken();
  await first;
  await stream.receive(request(typeUrls.authorization, { responseNonce: waiting[0]?.nonce ?? '' }));
  await source.set(meshState({ policies: [policy('one', {}, {})], workloads: [workload('a')] }));
  await waitFor(() => waiting.length === 2, { interval: 2 });
  // The change is on its way by itself: nobody waits for what is sent after it.
  await stream.receive(request(typeUrls.address, { held: unreadable() }));
  assert.equal(failures.length, 0);
  waiting[1]?.taken();
  await waitFor(() => failures.length > 0, { interval: 2 });
  assert.ok(failures[0] instanceof RangeError);
});

test('a client that asks for what is not served and reads no answer is cut off', async (context) => {
  const { stream, waiting } = await newStream(context);
  const asked = Array.from({ length: 16 }, (_, index) => stream.receive(request(`type.googleapis.com/new.${index}`)));
  await assert.rejects(stream.receive(request('type.googleapis.com/new.16')), { code: status.RESOURCE_EXHAUSTED });
  for (const { taken } of waiting) taken();
  await Promise.all(asked);
});

test('a type that is longer than any is not sent back', async (context) => {
  const { stream, waiting } = await newStream(context);
  await assert.rejects(stream.receive(request('x'.repeat(513))), { code: status.RESOURCE_EXHAUSTED });
  assert.equal(waiting.length, 0);
});

test('a client that asks by name and says it holds more than any mesh has is cut off', async (context) => {
  const { stream } = await newStream(context);
  let count = 0;
  const endless: HeldVersions = {
    ...nothingHeld,
    next: () => {
      count++;
      return true;
    },
    get name() {
      return `resource-${count}`;
    },
  };
  const asked = stream.receive(request(typeUrls.address, { resourceNamesSubscribe: ['a'], held: endless }));
  await assert.rejects(asked, { code: status.RESOURCE_EXHAUSTED });
});
