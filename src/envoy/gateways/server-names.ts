/** Which server of a port has a name: the one that has that very name, else the longest wildcard that it fits, else `*`. */
export class ServerNames<Server> {
  readonly #servers = new Map<string, Server>();

  /** Of two servers with one name the first has it. */
  add(name: string, server: Server): void {
    if (!this.#servers.has(name)) this.#servers.set(name, server);
  }

  /** @param name of a host, or a wildcard: whose the widest of its hosts are */
  ownerOf(name: string): Server | undefined {
    const known = this.#servers.get(name);
    if (known !== undefined || name === '*') return known;
    const labels = name.split('.');
    for (let skipped = 1; skipped < labels.length; skipped++) {
      const owner = this.#servers.get(`*.${labels.slice(skipped).join('.')}`);
      if (owner !== undefined) return owner;
    }
    return this.#servers.get('*');
  }

  get count(): number {
    return this.#servers.size;
  }

  /** Names that other servers have. */
  othersThan(server: Server): readonly string[] {
    return [...this.#servers].flatMap(([name, owner]) => (owner === server ? [] : [name]));
  }
}

/** Whether some host of the name is one of the wildcard. */
export function isWithin(name: string, wildcard: string): boolean {
  return wildcard === '*' || (wildcard.startsWith('*.') && name.endsWith(wildcard.slice(1)) && name !== wildcard);
}
