import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { errorCode } from '../config/errors.ts';
import type { ServiceEntryDocument } from '../config/manifests/schemas/service-entry.ts';
import type { DocumentChange, DocumentChanges } from '../config/mesh-input.ts';
import { assignAddresses } from '../config/manifests/automatic-addresses.ts';
import type { HostAddress } from '../config/manifests/automatic-addresses.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';

const fileName = 'addresses.json';

const hostAddresses = z.array(z.object({ host: z.string(), value: z.string() }));
const keptFile = z.object({ version: z.literal(1), entries: z.record(z.string(), hostAddresses) });

/**
 * Gives the hosts of ServiceEntries addresses where no cluster keeps them in their status: in the state folder, so that a name that
 * somebody has looked up means the same after a restart.
 */
export class KeptAddresses {
  readonly #stateDir: string | null;
  readonly #logger: Logger;
  /** As they are written. */
  readonly #entries = new Map<string, ServiceEntryDocument>();
  #addresses: ReadonlyMap<string, readonly HostAddress[]>;

  /** @param stateDir null: nothing is kept */
  constructor(stateDir: string | null, logger: Logger) {
    this.#stateDir = stateDir;
    this.#logger = logger;
    this.#addresses = this.#load();
  }

  /** The same changes, in which entries have their addresses; with those of other entries that get others now. */
  complete(changes: DocumentChanges): DocumentChanges {
    const entries = changes.filter((change) => change.kind === 'ServiceEntry');
    if (entries.length === 0) return changes;
    for (const { key, document } of entries) {
      if (document === null) this.#entries.delete(key);
      else this.#entries.set(key, document);
    }
    const moved = this.#assign();
    const told = new Set([...entries.map(({ key }) => key), ...moved]);
    return [...changes.filter(({ kind }) => kind !== 'ServiceEntry'), ...[...told].map((key) => this.#change(key))];
  }

  /** @returns the entries whose addresses are others than before */
  #assign(): readonly string[] {
    const before = this.#addresses;
    const after = assignAddresses(
      [...this.#entries].map(([key, document]) => withAddresses(document, before.get(key))),
    );
    this.#addresses = after;
    const moved = [...after.keys()].filter((key) => !isDeepStrictEqual(before.get(key), after.get(key)));
    if (moved.length > 0 || after.size !== before.size) this.#save();
    return moved;
  }

  #change(key: string): DocumentChange {
    const document = this.#entries.get(key);
    const completed = document === undefined ? null : withAddresses(document, this.#addresses.get(key));
    return { kind: 'ServiceEntry', key, document: completed };
  }

  #load(): ReadonlyMap<string, readonly HostAddress[]> {
    if (this.#stateDir === null) return new Map();
    try {
      const kept = keptFile.parse(JSON.parse(readFileSync(join(this.#stateDir, fileName), 'utf8')));
      return new Map(Object.entries(kept.entries));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        this.#logger.warn(
          errorFields(error),
          `${fileName} of the state folder cannot be read: addresses are chosen anew`,
        );
      }
      return new Map();
    }
  }

  /** Before anybody is told of them: what was told must be the same after a crash. */
  #save(): void {
    if (this.#stateDir === null) return;
    const path = join(this.#stateDir, fileName);
    try {
      mkdirSync(this.#stateDir, { recursive: true, mode: 0o700 });
      writeDurably(`${path}.tmp`, JSON.stringify({ version: 1, entries: Object.fromEntries(this.#addresses) }));
      renameSync(`${path}.tmp`, path);
    } catch (error) {
      this.#logger.warn(errorFields(error), 'the addresses of hosts cannot be kept: a restart may choose others');
    }
  }
}

function withAddresses(
  document: ServiceEntryDocument,
  addresses: readonly HostAddress[] | undefined,
): ServiceEntryDocument {
  if (addresses === undefined) return document;
  return { ...document, status: { ...document.status, addresses: [...addresses] } };
}

function writeDurably(path: string, text: string): void {
  const file = openSync(path, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
