import type { AppProtocol } from '../model/workload.ts';

/** Words that Kubernetes and Istio have for what is spoken on a port; null: something that WDS has no word for. */
const words: ReadonlyMap<string, AppProtocol | null> = new Map<string, AppProtocol | null>([
  ['http', 'http1'],
  ['http2', 'http2'],
  ['grpc', 'grpc'],
  ['https', 'tls'],
  ['tls', 'tls'],
  ['tcp', 'tcp'],
  ['kubernetes.io/h2c', 'http2'],
  ['kubernetes.io/ws', 'http1'],
  ['kubernetes.io/wss', 'tls'],
  ...['grpc-web', 'http-proxy', 'http_proxy', 'mongo', 'mysql', 'redis', 'hbone', 'double-hbone'].map(
    (word): [string, null] => [word, null],
  ),
]);

/** Undefined for a word that nobody has defined. */
export function protocolOf(word: string): AppProtocol | null | undefined {
  return words.get(word.toLowerCase());
}

/** `appProtocol` where it is set, else how the port's name begins, as Istio reads it. Null: nothing is said. */
export function spokenOn(port: {
  readonly name: string | null;
  readonly appProtocol: string | null;
}): AppProtocol | null {
  if (port.appProtocol !== null) return protocolOf(port.appProtocol) ?? null;
  const parts = (port.name ?? '').split('-');
  // Some words have a dash of their own.
  const longer = protocolOf(parts.slice(0, 2).join('-'));
  return (longer === undefined ? protocolOf(parts[0] ?? '') : longer) ?? null;
}
