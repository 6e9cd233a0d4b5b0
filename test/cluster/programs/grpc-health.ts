/** Answers gRPC health checks at the port of its first argument, for the kubelet's gRPC probes. Runs in Ambit's image. */
import process from 'node:process';

import { Server, ServerCredentials } from '@grpc/grpc-js';

/** `HealthCheckResponse { status: SERVING }`. */
const serving = Buffer.from([0x08, 0x01]);
const asIs = (bytes: Buffer): Buffer => bytes;

const server = new Server();
server.addService(
  {
    check: {
      path: '/grpc.health.v1.Health/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  },
  {
    check: (_call: unknown, answer: (error: null, response: Buffer) => void) => {
      answer(null, serving);
    },
  },
);
server.bindAsync(`[::]:${process.argv[1] ?? ''}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
process.once('SIGTERM', () => {
  server.forceShutdown();
});
