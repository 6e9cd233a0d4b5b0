import { pino } from 'pino';
import type { DestinationStream } from 'pino';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'json' | 'plain';

type LogFields = Readonly<Record<string, unknown>>;

/** What a component may do with its log. Fields first, so that a call without a message does not compile. */
export interface Logger {
  error(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  trace(fields: LogFields, message: string): void;
}

export interface LoggingOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly destination: DestinationStream;
}

/** Never written, wherever they turn up within two levels of a record. */
const SECRET_FIELDS = ['privateKey', 'private_key', 'token', 'password', 'authorization', 'secret'];
const REDACTED_PATHS = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** All loggers of a process: one per component, with levels that can be switched while it runs. */
export class Logging {
  readonly #root: pino.Logger;
  readonly #initialLevel: LogLevel;
  readonly #components = new Map<string, pino.Logger>();
  readonly #overrides = new Map<string, LogLevel>();
  #level: LogLevel;

  constructor(options: LoggingOptions) {
    this.#initialLevel = options.level;
    this.#level = options.level;
    this.#root = pino(
      {
        level: options.level,
        base: null,
        messageKey: 'message',
        errorKey: 'error',
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      },
      options.format === 'plain' ? plainDestination(options.destination) : options.destination,
    );
  }

  /** The same name gives the same logger. */
  component(name: string): Logger {
    const known = this.#components.get(name);
    if (known !== undefined) return known;
    const logger = this.#root.child({ scope: name }, { level: this.#overrides.get(name) ?? this.#level });
    this.#components.set(name, logger);
    return logger;
  }

  /** Sets the level of every component, and forgets the levels that single ones were given. */
  setLevel(level: LogLevel): void {
    this.#level = level;
    this.#overrides.clear();
    this.#root.level = level;
    for (const logger of this.#components.values()) logger.level = level;
  }

  /** Sets one component's level; also for a component that does not log yet. */
  setComponentLevel(name: string, level: LogLevel): void {
    this.#overrides.set(name, level);
    const logger = this.#components.get(name);
    if (logger !== undefined) logger.level = level;
  }

  reset(): void {
    this.setLevel(this.#initialLevel);
  }

  componentNames(): readonly string[] {
    return [...this.#components.keys()].sort();
  }

  /** `info,enrolment=debug`: what `parseLevels` reads back. */
  describe(): string {
    const overrides = [...this.#overrides].map(([name, level]) => `${name}=${level}`).sort();
    return [this.#level, ...overrides].join(',');
  }
}

/**
 * One line of text per record, in the order of ztunnel's plain log: time, level, scope, message, then fields. pino gives
 * each record as a complete line of JSON, redaction already done.
 */
function plainDestination(destination: DestinationStream): DestinationStream {
  return {
    write(line: string): void {
      destination.write(plainLine(line));
    },
  };
}

function plainLine(line: string): string {
  const { time, level, scope, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${plainValue(value)}`);
  return `${[time, level, scope ?? '-', message ?? '', ...pairs].map(withoutLineBreaks).join('\t')}\n`;
}

function plainValue(value: unknown): string {
  return JSON.stringify(value);
}

/** A peer's name with a line break in it must not be able to forge a record. */
function withoutLineBreaks(value: unknown): string {
  return String(value).replaceAll(/[\n\r\t]/g, ' ');
}
