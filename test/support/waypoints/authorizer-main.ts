/** External authorizers in a pod, over HTTP and over gRPC: who names the team `red` may. Prints `ready` and ends with its input. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import process from 'node:process';

import { GrpcAuthorizer } from '../envoy/grpc-authorizer.ts';
import { authorizerPorts } from './ports.ts';

const http = createServer(({ headers }, response) => {
  response.statusCode = headers['x-team'] === 'red' ? 200 : 403;
  response.end();
});
http.listen(authorizerPorts.http, '::');
await once(http, 'listening');
await GrpcAuthorizer.listen(({ headers }) => ({ allow: headers['x-team'] === 'red' }), {
  host: '::',
  port: authorizerPorts.grpc,
});
console.log('ready');
process.stdin.resume().once('end', () => process.exit(0));
