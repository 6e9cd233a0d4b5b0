/** Prints docs/settings.md: every setting, as the tables that parse them describe it. */

import process from 'node:process';

import { z } from 'zod';
import { controlPlaneSettings, tokenSettings } from '../../src/config/control-plane-settings.ts';
import { explainSettings } from '../../src/config/explain-settings.ts';
import { meshSettingsSpec } from '../../src/config/manifests/schemas/mesh-settings.ts';
import type { SettingRow } from '../../src/config/setting-table.ts';
import { agentSettingTable } from '../../src/config/settings.ts';

const introduction = `# Settings

Generated from the tables by which the commands read their settings. Each flag is also a variable; where both are given the
flag wins, then our variable, then those of the Istio world from left to right. An empty variable counts as not set. All
mistakes are reported at once, and nothing starts then. TIME is a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`.
`;

interface FieldSchema {
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly type?: string;
}

function section(title: string, rows: readonly SettingRow[]): string {
  const lines = rows.map(({ flag, value, environment, aliases, default: fallback, required, meaning }) => {
    const variables = [environment, ...aliases].map(code).join(', ');
    return row([code(`--${flag} ${value}`), variables, required ? 'required' : shown(fallback), meaning]);
  });
  return [`## ${title}`, '', row(['flag', 'variables', 'default', 'meaning']), ruler(4), ...lines, ''].join('\n');
}

function meshSection(): string {
  const { properties = {} } = z.toJSONSchema(meshSettingsSpec, { io: 'input', unrepresentable: 'any' });
  // The schema leaves out those of values that are changed in reading.
  const defaults: Readonly<Record<string, unknown>> = meshSettingsSpec.parse({});
  const lines = Object.entries(properties).map(([name, property]) => {
    const field = property as FieldSchema;
    const values = field.enum === undefined ? (field.type ?? '') : field.enum.map(code).join(', ');
    return row([code(name), values, code(JSON.stringify(defaults[name])), field.description ?? '']);
  });
  const about = 'One document of `apiVersion: ambit.dev/v1alpha1` for the whole mesh; its `spec` may have:';
  const head = ['## `kind: MeshSettings`', '', about, '', row(['field', 'values', 'default', 'meaning']), ruler(4)];
  return [...head, ...lines, ''].join('\n');
}

function shown(fallback: string | null): string {
  return fallback === null || fallback === '' ? '–' : code(fallback);
}

function code(text: string): string {
  return `\`${text}\``;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function ruler(columns: number): string {
  return `|${' --- |'.repeat(columns)}`;
}

const sections = [
  section('`ambit agent`', agentSettingTable),
  section('`ambit control`', controlPlaneSettings.rows),
  section('`ambit control token`', tokenSettings.rows),
  section('`ambit explain`', explainSettings.rows),
  meshSection(),
];
process.stdout.write([introduction, ...sections].join('\n'));
