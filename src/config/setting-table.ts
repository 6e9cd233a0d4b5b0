import { AmbitError } from './errors.ts';
import type { Definition } from './setting-definition.ts';

/** One row, as `--help` and the reference print it. */
export interface SettingRow<Key extends string = string> extends Omit<Definition<unknown>, 'parse'> {
  /** The field of the settings, which is also the attribute that commander makes of the flag. */
  readonly key: Key;
}

export type Definitions<Settings> = { readonly [Key in keyof Settings]: Definition<Settings[Key]> };

/** Raw values by the setting's key; what commander gives for options without defaults of their own. */
export type SettingFlags = Readonly<Record<string, unknown>>;
export type Environment = Readonly<Record<string, string | undefined>>;

/** All settings of one command. */
export class SettingTable<Settings extends object> {
  readonly rows: readonly SettingRow<keyof Settings & string>[];
  readonly #definitions: Definitions<Settings>;
  readonly #mistakesOf: (settings: Settings) => readonly string[];

  /** @param mistakesOf what is wrong with settings that are each right; those that are not are undefined there, those not given null */
  constructor(definitions: Definitions<Settings>, mistakesOf: (settings: Settings) => readonly string[] = () => []) {
    this.#definitions = definitions;
    this.#mistakesOf = mistakesOf;
    const keys = Object.keys(definitions) as (keyof Settings & string)[];
    this.rows = keys.map((key) => ({ ...definitions[key], key }));
  }

  /**
   * Flags win over the environment, which wins over defaults; an empty variable counts as not set. Every mistake is found
   * before the first is reported.
   *
   * @throws AmbitError `SETTINGS_INVALID` that names every setting that is wrong and what it may be.
   */
  resolve(flags: SettingFlags, environment: Environment): Settings {
    const mistakes: string[] = [];
    const entries = this.rows.map(({ key }) => [key, this.#resolveOne(key, flags, environment, mistakes)] as const);
    // Each entry was parsed by the definition of its own key, which the mapped type ties to the field's type.
    const settings = Object.fromEntries(entries) as Settings;
    mistakes.push(...this.#mistakesOf(settings));
    if (mistakes.length > 0) {
      const count = mistakes.length === 1 ? 'One setting is' : `${mistakes.length} settings are`;
      throw new AmbitError('SETTINGS_INVALID', `${count} wrong:\n  ${mistakes.join('\n  ')}`);
    }
    return settings;
  }

  #resolveOne(
    key: keyof Settings & string,
    flags: SettingFlags,
    environment: Environment,
    mistakes: string[],
  ): unknown {
    const definition = this.#definitions[key];
    const variables = [definition.environment, ...definition.aliases];
    const given =
      rawValue(flags[key], `--${definition.flag}`) ??
      variables.map((name) => rawValue(environment[name], name)).find((found) => found !== null);
    const raw = given?.text ?? definition.default;
    if (raw === null) {
      if (definition.required)
        mistakes.push(`--${definition.flag} (or ${definition.environment}) is missing: ${definition.meaning}`);
      return null;
    }
    const parsed = definition.parse(raw);
    if (parsed.ok) return parsed.value;
    mistakes.push(`${given?.origin ?? `--${definition.flag}`}: ${JSON.stringify(raw)} is not ${parsed.expected}`);
    return undefined;
  }
}

function rawValue(value: unknown, origin: string): { readonly text: string; readonly origin: string } | null {
  if (typeof value === 'number') return { text: String(value), origin };
  return typeof value === 'string' && value !== '' ? { text: value, origin } : null;
}
