import { AmbitError } from './errors.ts';
import type { Environment, SettingFlags } from './setting-table.ts';

/** A header of every call; the name in lower case. */
export type Header = readonly [name: string, value: string];

/**
 * What proves to the control plane who asks, apart from the settings: those are shown on the admin page, and this may be
 * secret.
 */
export interface ControlCredentials {
  /** A token that was given itself; null: the file of the settings holds it. */
  readonly token: string | null;
  readonly xdsHeaders: readonly Header[];
  readonly caHeaders: readonly Header[];
}

export const noCredentials: ControlCredentials = { token: null, xdsHeaders: [], caHeaders: [] };

const tokenVariable = 'AUTH_TOKEN';

/** `AUTH_TOKEN` is a file where it is written as a path, else the token itself. */
export function isTokenFile(text: string): boolean {
  return /^\.{0,2}\//.test(text);
}

/** Without the token that would else be taken for the name of a file, and shown as such. */
export function withoutLiteralToken(environment: Environment): Environment {
  const { [tokenVariable]: token, ...rest } = environment;
  return token === undefined || !isTokenFile(token) ? rest : environment;
}

/** @throws AmbitError `SETTINGS_INVALID` that names the variables which are wrong, never what they hold */
export function controlCredentials(flags: SettingFlags, environment: Environment): ControlCredentials {
  const mistakes: string[] = [];
  const credentials = {
    token: literalToken(flags, environment, mistakes),
    xdsHeaders: headersOf('XDS_HEADER_', environment, mistakes),
    caHeaders: headersOf('CA_HEADER_', environment, mistakes),
  };
  if (mistakes.length > 0) throw new AmbitError('SETTINGS_INVALID', mistakes.join('\n  '));
  return credentials;
}

function literalToken(flags: SettingFlags, environment: Environment, mistakes: string[]): string | null {
  const token = environment[tokenVariable] ?? '';
  const named = (flags['tokenFile'] ?? environment['AMBIT_TOKEN_FILE'] ?? '') !== '';
  if (token === '' || isTokenFile(token) || named) return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  mistakes.push(`${tokenVariable}: it is neither a path nor a token, which is one line of visible characters`);
  return null;
}

function headersOf(prefix: string, environment: Environment, mistakes: string[]): readonly Header[] {
  const headers: Header[] = [];
  for (const [variable, value = ''] of Object.entries(environment)) {
    if (!variable.startsWith(prefix) || value === '') continue;
    const name = variable.slice(prefix.length).toLowerCase();
    // Names that the protocol keeps for itself, and binary ones, whose values would have to be encoded.
    const wrong = !/^[0-9a-z_.-]+$/.test(name) || name.startsWith('grpc-') || name.endsWith('-bin');
    if (wrong) mistakes.push(`${variable}: ${JSON.stringify(name)} is not the name of a header that may be added`);
    else if (!/^[\x20-\x7e]*$/.test(value)) mistakes.push(`${variable}: a header is one line of printable characters`);
    else headers.push([name, value]);
  }
  return headers;
}
