import type { TestContext } from 'node:test';

import { KubeClient } from '../../../src/kube/kube-client.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { Reflector } from '../../../src/kube/reflector.ts';
import type { ObjectChange, ReflectorOptions } from '../../../src/kube/reflector.ts';
import { ManualTimers } from '../manual-timers.ts';
import { waitFor } from '../wait.ts';
import { FakeApiServer } from './fake-api-server.ts';

export const collection = '/api/v1/things';

/** A reflector on a fake API server, with what it has told. */
export class Reflected {
  readonly server = new FakeApiServer();
  readonly timers = new ManualTimers(1_000_000);
  readonly changes: ObjectChange<string>[] = [];
  readonly failures: unknown[] = [];
  readonly listenerFailures: unknown[] = [];
  readonly events: string[] = [];
  lists = 0;
  pages = 0;
  recoveries = 0;
  readonly #abort = new AbortController();
  #client: KubeClient | null = null;
  #reflector: Reflector<string> | null = null;
  #running: Promise<void> = Promise.resolve();

  static async start(context: TestContext, options: Partial<ReflectorOptions<string>> = {}): Promise<Reflected> {
    const reflected = new Reflected();
    await reflected.server.start();
    reflected.server.define(collection);
    context.after(() => reflected.#stop());
    reflected.#create(options);
    return reflected;
  }

  get reflector(): Reflector<string> {
    if (this.#reflector === null) throw new Error('not started');
    return this.#reflector;
  }

  get client(): KubeClient {
    if (this.#client === null) throw new Error('not started');
    return this.#client;
  }

  run(): void {
    this.#running = this.reflector.run(this.#abort.signal);
  }

  /** What a listener that applied every change would hold. */
  get told(): Readonly<Record<string, string>> {
    const held = new Map<string, string>();
    for (const { key, before, after } of this.changes) {
      if ((held.get(key) ?? null) !== before) throw new Error(`a change of ${key} starts from what was never told`);
      if (after === null) held.delete(key);
      else held.set(key, after);
    }
    return Object.fromEntries([...held].sort());
  }

  #create(options: Partial<ReflectorOptions<string>>): void {
    const { timers } = this;
    const access = {
      server: this.server.url,
      certificateAuthority: () => Promise.resolve(null),
      clientCertificate: null,
      token: () => Promise.resolve('secret'),
    };
    this.#client = new KubeClient({ access, timers, userAgent: 'test' });
    this.#reflector = new Reflector<string>({
      client: this.#client,
      path: collection,
      read: (object) => contentOf(object),
      timers,
      random: () => 0.5,
      observer: {
        listed: (_objects, pages) => {
          this.lists++;
          this.pages = pages;
        },
        watchOpened: () => undefined,
        event: (type) => this.events.push(type),
        failed: (error) => this.failures.push(error),
        recovered: () => this.recoveries++,
        listenerFailed: (error) => this.listenerFailures.push(error),
      },
      ...options,
    });
    this.#reflector.listen((changes) => this.changes.push(...changes));
  }

  async #stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#client?.close();
    await waitFor(() => this.server.openConnections === 0, { what: 'the end of every connection to the API server' });
    await this.server.stop();
  }
}

function contentOf(object: KubeObject): string {
  return 'text' in object && typeof object.text === 'string' ? object.text : '';
}
