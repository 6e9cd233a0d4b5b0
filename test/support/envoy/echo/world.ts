import { namespace, pod, service } from '../../manifests.ts';
import type { Manifest } from '../../manifests.ts';
import { behindWaypoint } from '../manifest-suite.ts';
import { http2Server, httpServer } from '../servers.ts';
import type { Seen, TestServer } from '../servers.ts';

/** The namespaces in which the cases take place: each has services `echo`, `echo-v1` and `echo-v2`, and pods of both versions. */

export const ports = { http: 80, otherHttp: 8080, grpc: 7070, h2c: 8081 } as const;

/** Two versions, each speaking HTTP/1.1 and gRPC. All of them answer with what they have seen. */
export async function serveEcho(): Promise<Record<'v1' | 'v2' | 'rpc1' | 'rpc2', TestServer>> {
  let failures = 0;
  const http = (name: string): Promise<TestServer> =>
    httpServer(name, (seen, response) => {
      // The wait is the client's wish; every second `/flaky` fails.
      const { 'x-delay': delay = '0' } = seen.headers;
      response.statusCode = seen.path === '/flaky' && failures++ % 2 === 0 ? 503 : 200;
      setTimeout(() => response.end(JSON.stringify(seen)), Number(delay));
    });
  return { v1: await http('v1'), v2: await http('v2'), rpc1: await grpcServer('v1'), rpc2: await grpcServer('v2') };
}

export type EchoServers = Awaited<ReturnType<typeof serveEcho>>;

function grpcServer(name: string): Promise<TestServer> {
  return http2Server(name, (seen, response) => {
    response.setHeader('content-type', 'application/grpc');
    response.addTrailers({ 'grpc-status': '0' });
    response.end(JSON.stringify(seen));
  });
}

export function seenIn(body: string): Seen {
  return JSON.parse(body) as Seen;
}

const names = ['echo', 'echo-v1', 'echo-v2'] as const;

export type EchoName = (typeof names)[number];

/** Addresses of the services of the namespace with that number. */
export function addressOf(name: EchoName, place: number): string {
  return `10.96.${place}.${names.indexOf(name) + 1}`;
}

export interface Space {
  readonly space: string;
  readonly place: number;
  /** Services that clients ask: those alone go through the waypoint, for each of their ports costs Envoy time to start. */
  readonly asked: ReadonlySet<EchoName>;
}

/** The namespace with that number, and one of clients. */
export function spaceDocuments({ space, place, asked }: Space, servers: EchoServers): readonly Manifest[] {
  const version = (name: 'v1' | 'v2', last: number): Manifest =>
    pod({
      name: `echo-${name}`,
      namespace: space,
      nodeName: 'node-1',
      netns: `${space}-${name}`,
      addresses: [`10.200.${place}.${last}`],
      labels: { app: 'echo', version: name },
      namedPorts: { http: servers[name].port, grpc: servers[name === 'v1' ? 'rpc1' : 'rpc2'].port },
    });
  return [
    namespace(space),
    namespace(consumerOf(space)),
    version('v1', 1),
    version('v2', 2),
    ...names.map((name) => echoService(name, { space, place, bound: asked.has(name) })),
  ];
}

export function consumerOf(space: string): string {
  return `${space}-consumer`;
}

interface EchoService {
  readonly space: string;
  readonly place: number;
  readonly bound: boolean;
}

function echoService(name: EchoName, { space, place, bound }: EchoService): Manifest {
  const [, version] = name.split('-');
  const both = [
    { name: 'http', port: ports.http, targetPort: 'http' },
    { name: 'grpc', port: ports.grpc, targetPort: 'grpc' },
  ];
  const further = [
    { name: 'http-other', port: ports.otherHttp, targetPort: 'http' },
    { name: 'clear', port: ports.h2c, targetPort: 'grpc', appProtocol: 'kubernetes.io/h2c' },
  ];
  const made = service({
    name,
    namespace: space,
    vips: [addressOf(name, place)],
    ports: {},
    selector: { app: 'echo', ...(version === undefined ? {} : { version }) },
    spec: { ports: version === undefined ? both : [...both, ...further] },
  });
  return { ...made, metadata: { ...made.metadata, labels: bound ? behindWaypoint : {} } };
}
