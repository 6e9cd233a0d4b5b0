import { create } from '@bufbuild/protobuf';
import { PortSchema } from '../proto/gen/istio/workload/workload_pb.ts';
import type { Port } from '../proto/gen/istio/workload/workload_pb.ts';

/** By service port, so that equal maps have equal bytes. */
export function encodePorts(ports: ReadonlyMap<number, number>): readonly Port[] {
  return [...ports]
    .sort(([left], [right]) => left - right)
    .map(([servicePort, targetPort]) => create(PortSchema, { servicePort, targetPort }));
}

/** A port number that cannot be is left out: nothing can be dialled there. */
export function decodePorts(ports: readonly Port[]): ReadonlyMap<number, number> {
  const possible = ports.filter(({ servicePort, targetPort }) => servicePort >= 1 && isPort(servicePort, targetPort));
  return new Map(possible.map(({ servicePort, targetPort }) => [servicePort, targetPort]));
}

function isPort(...numbers: readonly number[]): boolean {
  return numbers.every((number) => number <= 65535);
}
