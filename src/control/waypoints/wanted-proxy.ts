import type { GatewayReport, ReportedPort } from '../gateway-report.ts';
import { reservedPorts } from './reserved-ports.ts';
import type { GatewayObject } from './gateway-object.ts';
import type { GatewayRole } from './gateway-role.ts';

/** What is deployed for a Gateway. */
export interface WantedProxy {
  readonly gateway: GatewayObject;
  readonly role: GatewayRole;
  /** Of the Service of a gateway, each number once, in their order; those of waypoints are always the same. */
  readonly ports: readonly ReportedPort[];
}

/** Null for a protocol that no gateway takes. */
function protocolOf(word: string): ReportedPort['protocol'] | null {
  switch (word) {
    case 'HTTP':
      return 'http';
    case 'HTTPS':
      return 'https';
    case 'TLS':
      return 'tls';
    case 'TCP':
      return 'tcp';
    default:
      return null;
  }
}

/**
 * A listener that cannot be served keeps its port: a load balancer would otherwise lose it with every Secret that is missing for a
 * moment. The ports of ListenerSets, and more on the Gateway's own, are in the report.
 */
export function wantedPorts({ spec }: GatewayObject, report: GatewayReport | null): readonly ReportedPort[] {
  const own = spec.listeners.flatMap(({ port, protocol: word }): readonly ReportedPort[] => {
    const protocol = protocolOf(word);
    return protocol === null ? [] : [{ number: port, protocol, http3: false }];
  });
  const ports = new Map(own.map((port) => [port.number, port]));
  for (const port of report?.ports ?? [])
    ports.set(port.number, { ...(ports.get(port.number) ?? port), http3: port.http3 });
  return [...ports.values()]
    .filter(({ number }) => !reservedPorts.has(number))
    .toSorted((left, right) => left.number - right.number);
}
