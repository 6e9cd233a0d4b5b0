import { create } from '@bufbuild/protobuf';
import type { AppProtocol, Service } from '../model/workload.ts';
import { AppProtocol as AppProtocolNumber, PortSchema } from '../proto/gen/istio/workload/workload_pb.ts';
import type { Port } from '../proto/gen/istio/workload/workload_pb.ts';
import { Enumeration } from './enums.ts';

const appProtocols = new Enumeration<AppProtocol, AppProtocolNumber>({
  http1: AppProtocolNumber.HTTP11,
  http2: AppProtocolNumber.HTTP2,
  grpc: AppProtocolNumber.GRPC,
  tcp: AppProtocolNumber.TCP,
  tls: AppProtocolNumber.TLS,
});

/** By service port, so that equal maps have equal bytes. */
export function encodePorts(ports: ReadonlyMap<number, number>): readonly Port[] {
  return [...ports]
    .sort(([left], [right]) => left - right)
    .map(([servicePort, targetPort]) => create(PortSchema, { servicePort, targetPort }));
}

/** The ports of a service, each with what its clients speak. */
export function encodeServicePorts(service: Pick<Service, 'ports' | 'appProtocols'>): readonly Port[] {
  return encodePorts(service.ports).map((port) => {
    const spoken = service.appProtocols.get(port.servicePort);
    return spoken === undefined ? port : { ...port, appProtocol: appProtocols.encode(spoken) };
  });
}

/** A port number that cannot be is left out: nothing can be dialled there. */
export function decodePorts(ports: readonly Port[]): ReadonlyMap<number, number> {
  return new Map(ports.filter(isPossible).map(({ servicePort, targetPort }) => [servicePort, targetPort]));
}

/** What clients of the ports speak; a protocol of a newer peer is as good as unsaid. */
export function decodeAppProtocols(ports: readonly Port[]): ReadonlyMap<number, AppProtocol> {
  return new Map(
    ports.filter(isPossible).flatMap(({ servicePort, appProtocol }) => {
      const spoken = appProtocols.decode(appProtocol);
      return spoken === undefined ? [] : [[servicePort, spoken] as const];
    }),
  );
}

function isPossible({ servicePort, targetPort }: Port): boolean {
  return servicePort >= 1 && servicePort <= 65535 && targetPort <= 65535;
}
