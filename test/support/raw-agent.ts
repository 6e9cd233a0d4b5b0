import { create } from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { Inspection, InspectionAnswerSchema } from '../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import type { InspectionAnswer, InspectionQuestion } from '../../src/proto/gen/ambit/mesh/v1/inspection_pb.ts';
import { grpcMethod } from '../../src/proto/grpc.ts';
import type { ControlHarness } from './control.ts';

export interface RawAgentOptions {
  /** Over TLS with this token; else in plaintext. */
  readonly token?: string;
  /** Node that it says it is. */
  readonly claims?: string;
}

const method = grpcMethod(Inspection.method.serve);

/** The agent's end of a stream for questions, that says what it is told to say. */
export class RawAgent {
  says: InspectionAnswer['content'] = { case: undefined };
  /** Status that the stream ended with. */
  readonly ended: Promise<number>;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<InspectionAnswer, InspectionQuestion>;

  /** @returns once the control plane has taken the stream, or refused it */
  static async connect(control: ControlHarness, options: RawAgentOptions): Promise<RawAgent> {
    const agent = new RawAgent(control, options);
    await Promise.race([new Promise((resolve) => agent.#call.on('metadata', resolve)), agent.ended]);
    return agent;
  }

  private constructor(control: ControlHarness, { token, claims }: RawAgentOptions) {
    const { xds, plaintext } = control.ports;
    this.#client =
      token === undefined
        ? new Client(`127.0.0.1:${plaintext}`, credentials.createInsecure())
        : new Client(`localhost:${xds}`, credentials.createSsl(Buffer.from(control.roots)));
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    this.#call = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    this.ended = new Promise((resolve) => {
      this.#call.on('error', (error: ServiceError) => {
        resolve(error.code);
        this.#client.close();
      });
    });
    this.#call.on('data', ({ id }: InspectionQuestion) => {
      this.#call.write(create(InspectionAnswerSchema, { id, content: this.says }));
    });
    if (claims !== undefined)
      this.#call.write(create(InspectionAnswerSchema, { content: { case: 'node', value: claims } }));
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}
