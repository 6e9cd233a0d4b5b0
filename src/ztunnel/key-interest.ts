import { addressLength } from '../model/address.ts';
import type { Family, IpAddress } from '../model/address.ts';
import { keys } from './keys.ts';

/**
 * Keys that answers have named since they were last touched. What nobody read need not be invalidated, so a push of many
 * thousand pods tells the engine only the few keys that it has heard of.
 */
export class KeyInterest {
  readonly #named = new Set<string>();
  /** Lengths of the blocks among the named keys: of the 129 blocks around an IPv6 address only these can be named. */
  readonly #blockLengths: Readonly<Record<Family, Set<number>>> = { 4: new Set(), 6: new Set() };

  get size(): number {
    return this.#named.size;
  }

  note(named: readonly string[]): void {
    for (const key of named) {
      this.#named.add(key);
      if (key.startsWith('block/')) this.#noteBlock(key);
    }
  }

  /**
   * The named keys among those touched, which are forgotten with it: the answers that named them are gone.
   * @param appeared addresses that nobody had before: they end every hole around them
   */
  claim(touched: ReadonlySet<string>, appeared: readonly IpAddress[]): readonly string[] {
    const claimed: string[] = [];
    for (const key of touched) this.#claimOne(key, claimed);
    for (const address of appeared) {
      for (const length of this.#blockLengths[address.family]) this.#claimOne(keys.block(address, length), claimed);
    }
    return claimed;
  }

  #claimOne(key: string, claimed: string[]): void {
    if (this.#named.delete(key)) claimed.push(key);
  }

  #noteBlock(key: string): void {
    const family: Family = key.includes(':') ? 6 : 4;
    const length = Number(key.slice(key.lastIndexOf('/') + 1));
    // The full length is touched by name, together with the address itself.
    if (length < addressLength(family)) this.#blockLengths[family].add(length);
  }
}
