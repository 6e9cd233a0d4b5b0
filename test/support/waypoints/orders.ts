/** What a client of a shop is asked to do, and what came of it. */

/** How a client speaks TLS. Everything is PEM. */
export interface TlsOrder {
  readonly serverName: string;
  readonly roots: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface Order {
  readonly id: number;
  readonly host: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly http2: boolean;
  /** null: clear text. */
  readonly tls: TlsOrder | null;
  /** Connections are used again. */
  readonly keepAlive: boolean;
  readonly count: number;
  /** Milliseconds, instead of a count; 0: the count. */
  readonly duration: number;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Milliseconds for each. */
  readonly timeout: number;
}

export interface Outcome {
  readonly id: number;
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** By what the servers call themselves. */
  readonly servers: Readonly<Record<string, number>>;
  /** Connections that were opened, and which certificates their servers had, by their SHA-256. */
  readonly connections: number;
  readonly certificates: Readonly<Record<string, number>>;
  /** Requests without an answer, by why. */
  readonly failures: Readonly<Record<string, number>>;
  /** Milliseconds, as p99. */
  readonly p50: number;
  readonly p99: number;
  /** Of the last answer. */
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}
