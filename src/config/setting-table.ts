import { AmbitError } from './errors.ts';
import type { Definition } from './setting-definition.ts';

/** One row, as `--help` and the reference print it. */
export interface SettingRow<Key extends string = string> extends Omit<Definition<unknown>, 'parse'> {
  /** The field of the settings, which is also the attribute that commander makes of the flag. */
  readonly key: Key;
}

export type Definitions<Settings> = { readonly [Key in keyof Settings]: Definition<Settings[Key]> };

type Flags = Readonly<Record<string, unknown>>;
type Environment = Readonly<Record<string, string | undefined>>;

/** All settings of one command. */
export class SettingTable<Settings extends object> {
  readonly rows: readonly SettingRow<keyof Settings & string>[];
  readonly #definitions: Definitions<Settings>;

  constructor(definitions: Definitions<Settings>) {
    this.#definitions = definitions;
    const keys = Object.keys(definitions) as (keyof Settings & string)[];
    this.rows = keys.map((key) => ({ ...definitions[key], key }));
  }

  /**
   * Flags win over the environment, which wins over defaults; an empty variable counts as not set. Every mistake is found
   * before the first is reported.
   *
   * @throws AmbitError `SETTINGS_INVALID` that names every setting that is wrong and what it may be.
   */
  resolve(flags: Flags, environment: Environment): Settings {
    const mistakes: string[] = [];
    const entries = this.rows.map(({ key }) => [key, this.#resolveOne(key, flags, environment, mistakes)] as const);
    if (mistakes.length > 0) {
      const count = mistakes.length === 1 ? 'One setting is' : `${mistakes.length} settings are`;
      throw new AmbitError('SETTINGS_INVALID', `${count} wrong:\n  ${mistakes.join('\n  ')}`);
    }
    // Each entry was parsed by the definition of its own key, which the mapped type ties to the field's type.
    return Object.fromEntries(entries) as Settings;
  }

  #resolveOne(key: keyof Settings & string, flags: Flags, environment: Environment, mistakes: string[]): unknown {
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
    return null;
  }
}

function rawValue(value: unknown, origin: string): { readonly text: string; readonly origin: string } | null {
  if (typeof value === 'number') return { text: String(value), origin };
  return typeof value === 'string' && value !== '' ? { text: value, origin } : null;
}
