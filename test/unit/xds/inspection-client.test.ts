import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { Inspection, InspectionQuestionSchema } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionAnswer, InspectionQuestion } from '../../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { grpcMethod } from '../../../src/proto/grpc.ts';
import { controlPlaneIdentifier } from '../../../src/wds/names.ts';
import { InspectionClient } from '../../../src/xds/inspection-client.ts';
import { silentLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { waitFor } from '../../support/wait.ts';
import { newXdsRig } from './rig.ts';

type Stream = ServerDuplexStream<InspectionAnswer, InspectionQuestion>;

interface Rig {
  readonly streams: Stream[];
  readonly answers: InspectionAnswer[];
  readonly timers: ManualTimers;
  readonly served: Promise<void>;
  readonly end: () => void;
}

async function newRig(context: TestContext, offered = true): Promise<Rig> {
  const server = new Server();
  const streams: Stream[] = [];
  const answers: InspectionAnswer[] = [];
  const serve = (stream: Stream): void => {
    streams.push(stream);
    stream.on('data', (answer: InspectionAnswer) => answers.push(answer));
    stream.on('error', () => undefined);
  };
  if (offered) server.addService({ serve: grpcMethod(Inspection.method.serve) }, { serve });
  const port = await new Promise<number>((resolve) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => {
      resolve(bound);
    });
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const timers = new ManualTimers();
  const ending = new AbortController();
  const answer = ({ id }: InspectionQuestion): string => {
    if (id === 13) throw new Error('no answer to 13');
    return `answer ${id}`;
  };
  const dependencies = { node: 'node-1', answer, timers, random: () => 0.5, logger: silentLogger };
  const served = new InspectionClient(dependencies).serve(client, () => Promise.resolve(new Metadata()), ending.signal);
  context.after(async () => {
    ending.abort();
    await served;
    client.close();
    server.forceShutdown();
  });
  return {
    streams,
    answers,
    timers,
    served,
    end: () => {
      ending.abort();
    },
  };
}

const question = (id: number): InspectionQuestion => create(InspectionQuestionSchema, { id });
const until = (condition: () => boolean): Promise<unknown> =>
  waitFor(condition, { interval: 2, what: condition.toString() });

suite('the agent that is asked', () => {
  test('says first which node it is, then answers in turn', async (context) => {
    const rig = await newRig(context);
    await until(() => rig.streams.length === 1);
    for (const id of [1, 13, 2]) rig.streams[0]?.write(question(id));
    await until(() => rig.answers.length === 4);
    assert.deepEqual(
      rig.answers.map(({ id, content }) => [id, content.case, content.value]),
      [
        [0, 'node', 'node-1'],
        [1, 'explanation', 'answer 1'],
        [13, 'failure', 'no answer to 13'],
        [2, 'explanation', 'answer 2'],
      ],
    );
  });

  test('comes back when its stream ends, later each time unless it was accepted', async (context) => {
    const rig = await newRig(context);
    const waits: number[] = [];
    for (let round = 1; round <= 3; round++) {
      await until(() => rig.streams.length === round);
      rig.streams.at(-1)?.emit('error', { code: status.UNAVAILABLE, details: 'going' });
      await until(() => rig.timers.waits.length === 1);
      waits.push(rig.timers.waits[0] ?? 0);
      rig.timers.advance(waits.at(-1) ?? 0);
    }
    assert.deepEqual(waits, [100, 200, 400]);
    await until(() => rig.streams.length === 4);
    rig.streams.at(-1)?.sendMetadata(new Metadata());
    rig.streams.at(-1)?.end();
    await until(() => rig.timers.waits.length === 1);
    assert.deepEqual(rig.timers.waits, [100]);
  });

  test('leaves a control plane alone that does not know the call', async (context) => {
    const rig = await newRig(context, false);
    await rig.served;
    assert.deepEqual(rig.timers.waits, []);
  });

  test('leaves its place to a newer agent of the node', async (context) => {
    const rig = await newRig(context);
    await until(() => rig.streams.length === 1);
    rig.streams[0]?.emit('error', { code: status.ABORTED, details: 'a newer one' });
    await rig.served;
    assert.deepEqual(rig.timers.waits, []);
  });

  test('ends with the connection', async (context) => {
    const rig = await newRig(context);
    await until(() => rig.streams.length === 1);
    rig.end();
    await rig.served;
  });
});

suite('who may ask', () => {
  for (const [identifier, expected] of [
    [`${controlPlaneIdentifier}/1`, 1],
    ['{"Component":"istiod"}', 0],
  ] as const) {
    test(`a control plane that calls itself ${identifier}: ${expected}`, async (context) => {
      let opened = 0;
      let ended = 0;
      const companion = (_client: unknown, _metadata: unknown, signal: AbortSignal): Promise<void> => {
        opened++;
        signal.addEventListener('abort', () => ended++);
        return Promise.resolve();
      };
      const rig = await newXdsRig(context, { control: { identifier }, client: { companion } });
      rig.run();
      await rig.until(() => rig.synced() === 1);
      assert.equal(opened, expected);
      await rig.stop();
      assert.equal(ended, expected);
    });
  }
});
