/** What the test's HBONE peers are asked and what they answer: one JSON object a line. */

export interface Material {
  readonly certificate: string;
  readonly key: string;
  readonly roots: string;
}

/** HTTP/2 settings as the other side announced them. */
export interface AnnouncedSettings {
  readonly initialWindowSize: number | null;
  readonly maxFrameSize: number | null;
  readonly maxHeaderListSize: number | null;
  readonly maxConcurrentStreams: number | null;
  readonly enablePush: boolean | null;
  /** Of the connection: the default plus the WINDOW_UPDATE that follows. */
  readonly connectionWindow: number;
}

export interface Question {
  readonly id: number;
  readonly ask: string;
  readonly [field: string]: unknown;
}

export type Reply = Readonly<Record<string, unknown>>;

/** Headers as Node shows them, without its symbols. */
export type Headers = Readonly<Record<string, string>>;
