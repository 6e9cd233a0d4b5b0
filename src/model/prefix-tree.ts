import { addressLength, bitAt, cidrOf, commonPrefixLength } from './address.ts';
import type { Cidr, Family, IpAddress } from './address.ts';

/** A node stands for a block. Chains of nodes with one child are folded, so n entries need at most 2n nodes. */
interface Node {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** How often exactly this block was inserted. */
  count: number;
  readonly children: [Node | null, Node | null];
}

/** A set of blocks, each counted, in which the most specific one around an address is found, and so is its absence. */
export class PrefixTree {
  readonly #roots: Record<Family, Node> = { 4: newNode(new Uint8Array(4), 0), 6: newNode(new Uint8Array(16), 0) };
  #size = 0;

  /** Different blocks in the set. */
  get size(): number {
    return this.#size;
  }

  /** A block that is there already is counted once more. */
  insert(cidr: Cidr): void {
    const node = descend(this.#roots[cidr.family], cidr);
    if (node.count === 0) this.#size++;
    node.count++;
  }

  /** Takes back one insert; false where there is none. */
  remove(cidr: Cidr): boolean {
    const path = pathTo(this.#roots[cidr.family], cidr.bytes, cidr.prefixLength);
    const node = path.at(-1);
    if (node?.length !== cidr.prefixLength || node.count === 0) return false;
    node.count--;
    if (node.count > 0) return true;
    this.#size--;
    prune(path);
    return true;
  }

  has(cidr: Cidr): boolean {
    const node = pathTo(this.#roots[cidr.family], cidr.bytes, cidr.prefixLength).at(-1);
    return node?.length === cidr.prefixLength && node.count > 0;
  }

  /** The most specific block around the address. */
  longestMatch(address: IpAddress): Cidr | null {
    const path = pathTo(this.#roots[address.family], address.bytes, addressLength(address.family));
    const node = path.findLast((candidate) => candidate.count > 0);
    return node === undefined ? null : cidrOf(address, node.length);
  }

  /**
   * Length of the shortest prefix of the address whose block has no entry strictly inside: every address of that block
   * lies in the same entries. One answer serves the whole block, so a scan of unknown addresses costs a few answers.
   */
  holePrefixLength(address: IpAddress): number {
    let node = this.#roots[address.family];
    for (;;) {
      if (node.children[0] === null && node.children[1] === null) return node.length;
      const child = node.children[bitAt(address.bytes, node.length)];
      if (child === null) return node.length + 1;
      const common = commonPrefixLength(address.bytes, child.bytes, child.length);
      if (common < child.length) return common + 1;
      node = child;
    }
  }
}

function newNode(bytes: Uint8Array, length: number): Node {
  return { bytes, length, count: 0, children: [null, null] };
}

/** The nodes whose blocks contain the prefix, the root first. */
function pathTo(root: Node, bytes: Uint8Array, length: number): Node[] {
  const path = [root];
  for (let node = root; node.length < length;) {
    const child = node.children[bitAt(bytes, node.length)];
    if (child === null || child.length > length) break;
    if (commonPrefixLength(bytes, child.bytes, child.length) < child.length) break;
    path.push(child);
    node = child;
  }
  return path;
}

/** The node of the block, made where it is missing. */
function descend(root: Node, cidr: Cidr): Node {
  const parent = pathTo(root, cidr.bytes, cidr.prefixLength).at(-1) ?? root;
  if (parent.length === cidr.prefixLength) return parent;
  const side = bitAt(cidr.bytes, parent.length);
  const sibling = parent.children[side];
  const node = newNode(cidr.bytes, cidr.prefixLength);
  parent.children[side] = sibling === null ? node : join(sibling, node);
  return node;
}

/** One node above both: the new node itself where it contains the sibling, else the place where they part. */
function join(sibling: Node, node: Node): Node {
  const common = commonPrefixLength(sibling.bytes, node.bytes, Math.min(sibling.length, node.length));
  const above = common === node.length ? node : newNode(sibling.bytes, common);
  above.children[bitAt(sibling.bytes, common)] = sibling;
  if (above !== node) above.children[bitAt(node.bytes, common)] = node;
  return above;
}

/** Takes the last node of the path out if it serves nothing, and then its parent where that only parted two ways. */
function prune(path: readonly Node[]): void {
  for (let index = path.length - 1; index > 0; index--) {
    const node = path[index];
    const parent = path[index - 1];
    if (node === undefined || parent === undefined || node.count > 0) return;
    const [left, right] = node.children;
    if (left !== null && right !== null) return;
    parent.children[bitAt(node.bytes, parent.length)] = left ?? right;
  }
}
