import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Client, Metadata } from '@grpc/grpc-js';
import { Inspection, InspectionAnswerSchema } from '../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionAnswer, InspectionQuestion } from '../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { grpcMethod } from '../proto/grpc.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import { backOffDelay } from '../timing/back-off.ts';
import { Slices } from '../timing/slices.ts';
import { pause } from '../timing/pause.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { openTwoWayStream } from './two-way-stream.ts';

export interface InspectionClientDependencies {
  /** Name of this node. */
  readonly node: string;
  /** What is told of the question; what it throws is told as a failure. */
  readonly answer: (question: InspectionQuestion) => string;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

const method = grpcMethod(Inspection.method.serve);
const RETRY = { first: 100, longest: 15_000, jitter: 0.2 };

/** Answers what the control plane asks, over streams of the connection that brings the mesh. */
export class InspectionClient {
  readonly #dependencies: InspectionClientDependencies;

  constructor(dependencies: InspectionClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Serves until the signal, with a new stream when one ends; never rejects. A control plane that does not want
   * it is left alone.
   */
  async serve(client: Client, metadata: () => Promise<Metadata>, signal: AbortSignal): Promise<void> {
    const { timers, random, logger } = this.#dependencies;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#serveOnce(client, await metadata(), signal, () => (failures = 0));
      } catch (error) {
        logger.debug(errorFields(error), 'the stream for questions of the control plane has ended');
        if (isFinal(error)) return;
      }
      await pause(backOffDelay(++failures, RETRY, random), timers, signal);
    }
  }

  /** One question after the other: the next is read when this one is answered. */
  async #serveOnce(client: Client, metadata: Metadata, signal: AbortSignal, onAccepted: () => void): Promise<void> {
    const { call, end } = openTwoWayStream(client, method, metadata, signal);
    call.on('metadata', onAccepted);
    const slices = new Slices();
    try {
      call.write(create(InspectionAnswerSchema, { content: { case: 'node', value: this.#dependencies.node } }));
      for await (const question of call as AsyncIterable<InspectionQuestion>) {
        call.write(this.#answerTo(question));
        if (slices.exhausted) await slices.pause();
      }
    } finally {
      end();
    }
  }

  #answerTo(question: InspectionQuestion): InspectionAnswer {
    const { id } = question;
    try {
      const value = this.#dependencies.answer(question);
      return create(InspectionAnswerSchema, { id, content: { case: 'explanation', value } });
    } catch (error) {
      this.#dependencies.logger.error(errorFields(error), 'a question of the control plane could not be answered');
      const value = errorFields(error).error;
      return create(InspectionAnswerSchema, { id, content: { case: 'failure', value } });
    }
  }
}

/** The control plane does not know the call, or has a newer agent of this node: another attempt would only be in the way. */
function isFinal(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('code' in error)) return false;
  const { code } = error;
  return code === status.UNIMPLEMENTED || code === status.ABORTED || code === status.ALREADY_EXISTS;
}
