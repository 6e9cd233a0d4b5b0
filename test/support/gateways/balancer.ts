import { enter } from '../namespaces.ts';
import { exec } from '../processes.ts';

/**
 * One address for several, as a balancer before a mesh has it: each new connection goes to the next, those that are open stay. Whoever it
 * sends to sees the node, so that answers come back this way from wherever they are.
 */
export class Balancer {
  readonly address: string;
  readonly #netns: string;

  /** @param netns of the node that the clients' packets go through */
  constructor(netns: string, address: string) {
    this.#netns = netns;
    this.address = address;
  }

  async send(targets: readonly string[]): Promise<void> {
    const places = targets.map((target, index) => `${index} : ${target}`).join(', ');
    const rules = [
      'table ip balancer',
      'delete table ip balancer',
      'table ip balancer {',
      'chain way {',
      'type nat hook prerouting priority -100;',
      `ip daddr ${this.address} dnat to numgen inc mod ${targets.length} map { ${places} }`,
      '}',
      'chain back {',
      'type nat hook postrouting priority 100;',
      'ct status dnat masquerade',
      '}',
      '}',
    ];
    await exec(enter(this.#netns, ['nft', '-f', '-']), { input: `${rules.join('\n')}\n` });
  }
}
