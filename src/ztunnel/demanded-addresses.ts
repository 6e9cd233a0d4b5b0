/** On whose behalf names are asked for. Each has limits of its own, so that one cannot push out another's. */
export interface Claimant {
  readonly pod: string;
  /**
   * Where it connects to and by which waypoints; who connects to it: what comes in must not push out what goes out; what others
   * ask a waypoint for; and what says who may come in, which is kept for as long as the pod is there.
   */
  readonly side: 'destinations' | 'sources' | 'handovers' | 'guards';
}

export interface DemandLimits {
  /** Addresses in all. A control plane ends the stream of who asks for more than it allows: ours allows 50,000. */
  readonly addresses: number;
  readonly addressesOf: Readonly<Record<Claimant['side'], number>>;
  /** New addresses a second, and how many of them may come at once. */
  readonly rate: number;
  readonly burst: number;
  /** What was asked for this recently makes room for nothing. Milliseconds. */
  readonly youngest: number;
}

export const demandLimits: DemandLimits = {
  addresses: 20_000,
  addressesOf: { destinations: 2000, sources: 500, handovers: 5000, guards: 500 },
  rate: 100,
  burst: 1000,
  youngest: 10_000,
};

/** `held`: it was there; `added`: it has to be asked for; the others say why it is not. */
export type ClaimResult = 'held' | 'added' | 'too_many_destinations' | 'destination_rate_exceeded';

interface Account extends Claimant {
  /** When each was last asked about, the longest ago first. */
  readonly addresses: Map<string, number>;
  tokens: number;
  filledAt: number;
}

/** Share of an account that goes at once where room is needed. */
const ROOM = 0.1;

/**
 * Which addresses are asked for, on whose behalf and since when nobody has asked about them. Bounded by claimant and in
 * all; where the whole is full, whoever has most gives way. What open connections use always stays.
 */
export class DemandedAddresses {
  readonly #limits: DemandLimits;
  readonly #holders = new Map<string, Set<Account>>();
  readonly #accounts = new Map<string, Account>();
  #released: string[] = [];

  constructor(limits: DemandLimits = demandLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#holders.size;
  }

  has(address: string): boolean {
    return this.#holders.has(address);
  }

  all(): Iterable<string> {
    return this.#holders.keys();
  }

  /** Somebody asks about the address. @param inUse asked only where room has to be made */
  claim(claimant: Claimant, address: string, now: number, inUse: () => ReadonlySet<string>): ClaimResult {
    const account = this.#account(claimant, now);
    if (account.addresses.has(address)) {
      touch(account, address, now);
      return 'held';
    }
    const known = this.has(address);
    const roomy = this.#makeRoomOf(account, now, inUse) && (known || this.#makeRoom(now, inUse));
    // Whoever has it already keeps it, also where this one has no room for it.
    if (!roomy) return known ? 'held' : 'too_many_destinations';
    if (!known && !this.#takeToken(account, now)) return 'destination_rate_exceeded';
    this.#hold(account, address, now);
    return known ? 'held' : 'added';
  }

  /** Without a look at limits: for what was within them before. */
  adopt(claimant: Claimant, address: string, now: number): void {
    this.#hold(this.#account(claimant, now), address, now);
  }

  /** Lets go of what nobody has asked about since then, and of everything of claimants whose pod is gone. */
  sweep(since: number, pods: { has(uid: string): boolean }, inUse: ReadonlySet<string>): void {
    for (const account of [...this.#accounts.values()]) {
      const gone = !pods.has(account.pod);
      if (!gone && account.side === 'guards') continue;
      for (const [address, asked] of account.addresses) {
        if (!gone && asked >= since) break;
        if (gone || !inUse.has(address)) this.#release(account, address);
      }
      if (gone) this.#accounts.delete(keyOf(account));
    }
  }

  /** Whoever wants it has to ask again. */
  drop(address: string): void {
    for (const account of this.#holders.get(address) ?? []) this.#release(account, address);
  }

  /** What was let go of since the last call, and is still wanted by nobody. */
  takeReleased(): readonly string[] {
    const released = this.#released.filter((address) => !this.has(address));
    this.#released = [];
    return released;
  }

  #account(claimant: Claimant, now: number): Account {
    const key = keyOf(claimant);
    const known = this.#accounts.get(key);
    if (known !== undefined) return known;
    const { pod, side } = claimant;
    const account: Account = { pod, side, addresses: new Map(), tokens: this.#limits.burst, filledAt: now };
    this.#accounts.set(key, account);
    return account;
  }

  #hold(account: Account, address: string, now: number): void {
    const holders = this.#holders.get(address) ?? new Set<Account>();
    this.#holders.set(address, holders);
    holders.add(account);
    account.addresses.set(address, now);
  }

  #release(account: Account, address: string): void {
    account.addresses.delete(address);
    const holders = this.#holders.get(address);
    holders?.delete(account);
    if (holders?.size !== 0) return;
    this.#holders.delete(address);
    this.#released.push(address);
  }

  #makeRoomOf(account: Account, now: number, inUse: () => ReadonlySet<string>): boolean {
    const limit = this.#limits.addressesOf[account.side];
    return account.addresses.size < limit || this.#evict(account, now, inUse());
  }

  #makeRoom(now: number, inUse: () => ReadonlySet<string>): boolean {
    if (this.#holders.size < this.#limits.addresses) return true;
    const [largest] = [...this.#accounts.values()].sort((left, right) => right.addresses.size - left.addresses.size);
    if (largest !== undefined) this.#evict(largest, now, inUse());
    return this.#holders.size < this.#limits.addresses;
  }

  /** Those that were asked about the longest ago. */
  #evict(account: Account, now: number, inUse: ReadonlySet<string>): boolean {
    if (account.side === 'guards') return false;
    const wanted = Math.max(1, Math.floor(account.addresses.size * ROOM));
    let released = 0;
    for (const [address, asked] of [...account.addresses]) {
      if (released >= wanted || now - asked < this.#limits.youngest) break;
      // Counts as asked about now: the next look need not pass over it again.
      if (inUse.has(address)) touch(account, address, now);
      else {
        this.#release(account, address);
        released++;
      }
    }
    return released > 0;
  }

  #takeToken(account: Account, now: number): boolean {
    const { rate, burst } = this.#limits;
    account.tokens = Math.min(burst, account.tokens + (Math.max(0, now - account.filledAt) * rate) / 1000);
    account.filledAt = now;
    if (account.tokens < 1) return false;
    account.tokens--;
    return true;
  }
}

/** The map keeps the order in which its entries were last set. */
function touch({ addresses }: Account, address: string, now: number): void {
  addresses.delete(address);
  addresses.set(address, now);
}

function keyOf({ pod, side }: Claimant): string {
  return `${side}/${pod}`;
}
