import { status } from '@grpc/grpc-js';
import { AmbitError } from '../../config/errors.ts';
import type { EndQuestion } from '../../explain/shape.ts';
import { encodeQuestion, longestAnswer } from '../../explain/wire.ts';
import type { InspectionAnswer, InspectionQuestion } from '../../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { Timers } from '../../timing/timers.ts';
import { GrpcError } from '../grpc-error.ts';

interface Pending {
  readonly resolve: (json: string) => void;
  readonly reject: (error: AmbitError) => void;
  readonly cancel: () => void;
}

const mostPending = 32;
const longestFailure = 1000;
/** Milliseconds. */
const answerDeadline = 5000;

/** Questions and answers of one stream. */
export class InspectionStream {
  readonly #write: (question: InspectionQuestion) => void;
  readonly #timers: Timers;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #closed = false;

  constructor(write: (question: InspectionQuestion) => void, timers: Timers) {
    this.#write = write;
    this.#timers = timers;
  }

  /** JSON of the answer. @throws AmbitError where there is none */
  ask(question: EndQuestion): Promise<string> {
    if (this.#closed) return Promise.reject(new AmbitError('AGENT_GONE', 'its agent has gone'));
    if (this.#pending.size >= mostPending)
      return Promise.reject(new AmbitError('AGENT_BUSY', `${mostPending} questions wait for its agent already`));
    const id = this.#nextId();
    return new Promise((resolve, reject) => {
      const cancel = this.#timers.after(answerDeadline, () => {
        this.#pending.delete(id);
        reject(new AmbitError('AGENT_SILENT', `its agent has not answered for ${answerDeadline / 1000} s`));
      });
      this.#pending.set(id, { resolve, reject, cancel });
      this.#write(encodeQuestion(id, question));
    });
  }

  /** An answer that nobody waits for any more is dropped. @throws GrpcError where it ends the stream */
  take({ id, content }: InspectionAnswer): void {
    const length = typeof content.value === 'string' ? content.value.length : 0;
    if (length > longestAnswer) throw new GrpcError(status.RESOURCE_EXHAUSTED, `more than ${longestAnswer} characters`);
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.cancel();
    if (content.case === 'explanation') pending.resolve(content.value);
    else pending.reject(new AmbitError('AGENT_FAILED', failureText(content)));
  }

  close(): void {
    this.#closed = true;
    for (const { cancel, reject } of this.#pending.values()) {
      cancel();
      reject(new AmbitError('AGENT_GONE', 'its agent has gone'));
    }
    this.#pending.clear();
  }

  #nextId(): number {
    this.#lastId = this.#lastId >= 0xffff_fffe ? 1 : this.#lastId + 1;
    return this.#lastId;
  }
}

function failureText({ case: kind, value }: InspectionAnswer['content']): string {
  return kind === 'failure' ? value.slice(0, longestFailure) : 'its agent gave an answer that is none';
}
