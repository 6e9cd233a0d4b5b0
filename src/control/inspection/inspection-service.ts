import { Metadata, status } from '@grpc/grpc-js';
import type { ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { AmbitError } from '../../config/errors.ts';
import type { EndQuestion } from '../../explain/shape.ts';
import { Inspection } from '../../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionAnswer, InspectionQuestion } from '../../proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { grpcMethod } from '../../proto/grpc.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Timers } from '../../timing/timers.ts';
import type { Caller } from '../caller.ts';
import type { Authenticate } from '../certificates/authenticator.ts';
import { GrpcError } from '../grpc-error.ts';
import { InspectionStream } from './inspection-stream.ts';

export interface InspectionDependencies {
  readonly timers: Timers;
  readonly logger: Logger;
  /** Told of every question, once it has an answer or will have none. */
  readonly onAsked: (result: 'answered' | 'failed') => void;
}

type InspectionCall = ServerDuplexStream<InspectionAnswer, InspectionQuestion>;

interface Attached {
  readonly stream: InspectionStream;
  /** By the call itself; else the node is the client's word. */
  readonly proved: boolean;
  /** Tells the agent that it may be asked from now on. */
  readonly accept: () => void;
  readonly end: (error: GrpcError) => void;
}

const mostStreams = 5000;

/** Questions to agents, each over the stream that the agent keeps open for it. One stream counts for a node, the newest. */
export class InspectionService {
  readonly definition: ServiceDefinition = { serve: grpcMethod(Inspection.method.serve) };
  readonly #dependencies: InspectionDependencies;
  readonly #nodes = new Map<string, Attached>();
  #open = 0;

  constructor(dependencies: InspectionDependencies) {
    this.#dependencies = dependencies;
  }

  /** The service as one port offers it. @param authenticate throws GrpcError */
  implementation(authenticate: Authenticate): UntypedServiceImplementation {
    return {
      serve: (call: InspectionCall) => {
        void this.#serve(call, authenticate);
      },
    };
  }

  /** JSON of the node's answer. @throws AmbitError where its agent gives none */
  async ask(node: string, question: EndQuestion): Promise<string> {
    const { onAsked } = this.#dependencies;
    try {
      const attached = this.#nodes.get(node);
      if (attached === undefined) throw new AmbitError('AGENT_ABSENT', `no agent of node ${node} is connected here`);
      const answer = await attached.stream.ask(question);
      onAsked('answered');
      return answer;
    } catch (error) {
      onAsked('failed');
      throw error;
    }
  }

  /** Ends all streams, each with a status that tells its client to come back. */
  stop(): void {
    for (const { end } of this.#nodes.values()) end(new GrpcError(status.UNAVAILABLE, 'the control plane stops'));
  }

  async #serve(call: InspectionCall, authenticate: Authenticate): Promise<void> {
    try {
      const peer = call.getPeer();
      this.#checkRoom();
      const caller = await authenticate({ metadata: call.metadata, authContext: call.getAuthContext(), peer });
      // Others have come while it was found out who this one is.
      this.#checkRoom();
      // Whoever has gone meanwhile would never be detached again.
      if (call.cancelled) return;
      if (caller.kind === 'workload') throw new GrpcError(status.PERMISSION_DENIED, 'only agents of nodes are asked');
      this.#attach(call, caller);
    } catch (error) {
      this.#dependencies.logger.info({ ...errorFields(error), peer: call.getPeer() }, 'a stream was refused');
      end(call, error);
    }
  }

  /** @throws GrpcError `RESOURCE_EXHAUSTED` */
  #checkRoom(): void {
    if (this.#open >= mostStreams)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, `${mostStreams} streams are open already`);
  }

  #attach(call: InspectionCall, caller: Exclude<Caller, { readonly kind: 'workload' }>): void {
    const stream = new InspectionStream((question) => call.write(question), this.#dependencies.timers);
    const attached: Attached = {
      stream,
      proved: caller.kind === 'node',
      accept: () => {
        call.sendMetadata(new Metadata());
      },
      end: (error) => {
        end(call, error);
      },
    };
    let node = caller.kind === 'node' ? caller.node : '';
    this.#open++;
    if (node !== '') this.#register(node, attached);
    call.on('data', (answer: InspectionAnswer) => {
      try {
        if (node === '') node = this.#claim(answer, attached);
        else stream.take(answer);
      } catch (error) {
        end(call, error);
      }
    });
    this.#detachAtTheEnd(call, attached, () => node);
  }

  #detachAtTheEnd(call: InspectionCall, attached: Attached, node: () => string): void {
    let gone = false;
    const detach = (): void => {
      if (gone) return;
      gone = true;
      this.#open--;
      if (this.#nodes.get(node()) === attached) this.#nodes.delete(node());
      attached.stream.close();
    };
    call.on('end', () => {
      call.end();
    });
    for (const event of ['end', 'finish', 'close', 'cancelled', 'error']) call.on(event, detach);
  }

  /** @returns the node. @throws GrpcError where a word alone is not enough */
  #claim({ content }: InspectionAnswer, attached: Attached): string {
    const node = content.case === 'node' ? content.value : '';
    if (node === '') throw new GrpcError(status.INVALID_ARGUMENT, 'the first message must name the node');
    this.#register(node, attached);
    return node;
  }

  /** The newest one counts, but a mere word never displaces a proof. */
  #register(node: string, attached: Attached): void {
    const former = this.#nodes.get(node);
    if (former?.proved === true && !attached.proved)
      throw new GrpcError(status.ALREADY_EXISTS, 'an agent that has proved to be that node is connected');
    this.#nodes.set(node, attached);
    attached.accept();
    former?.end(new GrpcError(status.ABORTED, 'a newer agent of this node is connected'));
  }
}

function end(call: InspectionCall, error: unknown): void {
  if (call.cancelled || call.destroyed) return;
  const known = error instanceof GrpcError ? error : new GrpcError(status.INTERNAL, 'internal error, see the log');
  call.emit('error', { code: known.code, details: known.details });
}
