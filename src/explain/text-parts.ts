import { formatEndpoint } from '../model/address.ts';

/** A step: what it is about, and what it says. */
export interface Step {
  readonly title: string;
  readonly lines: readonly string[];
}

interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Empty where it is on none. */
  readonly node: string;
}

/** `shop/web at 10.0.0.2:8080 on worker-2`. */
export function placeOf({ name, address, port, node }: Place): string {
  return `${name} at ${formatEndpoint(address, port)}${node === '' ? '' : ` on ${node}`}`;
}
