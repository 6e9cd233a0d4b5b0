import type { status } from '@grpc/grpc-js';

/** An answer that is a status. The message goes to the peer, so it says nothing that the peer may not know. */
export class GrpcError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = 'GrpcError';
    this.code = code;
  }

  get details(): string {
    return this.message;
  }
}
