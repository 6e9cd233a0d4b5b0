import { optional } from './setting-definition.ts';
import { oneOf } from './setting-parsers.ts';
import type { Parser } from './setting-parsers.ts';
import { SettingTable } from './setting-table.ts';

/** Everything that is set for `ambit explain`, parsed. */
export interface ExplainSettings {
  /** Of names without one. */
  readonly namespace: string;
  readonly output: 'text' | 'json';
  readonly controlDebug: string;
  /** null: the control plane is asked. */
  readonly admin: string | null;
}

const namespaceName: Parser<string> = (text) =>
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text)
    ? { ok: true, value: text }
    : { ok: false, expected: 'a namespace: lower-case letters, digits and `-`, at most 63' };

/** With what is below it in the path, so that a page behind a proxy can be named. */
const pageUrl: Parser<string> = (text) =>
  /^https?:\/\/[^\s/?#]+(\/[^\s?#]*)?$/.test(text) && URL.canParse(text)
    ? { ok: true, value: text.replace(/\/+$/, '') }
    : { ok: false, expected: 'a URL, such as http://127.0.0.1:8080' };

export const explainSettings = new SettingTable<ExplainSettings>({
  namespace: optional('namespace', 'NAME', 'default', 'Namespace of names that are given without one.', namespaceName),
  output: optional('output', 'FORMAT', 'text', 'text, for people, or json.', oneOf('text', 'json')),
  controlDebug: optional(
    'control-debug',
    'URL',
    'http://127.0.0.1:8080',
    'Debug pages of the control plane, which asks the agents of both ends.',
    pageUrl,
  ),
  admin: optional('admin', 'URL', null, 'Admin pages of one agent, which is then asked alone.', pageUrl),
});
