/** The CNI configuration that is ours, made of the one that was there. Pure. */

export interface PluginEntry {
  /** File name of the binary. */
  readonly type: string;
  readonly socket: string;
  readonly limitSeconds: number;
  readonly namespacesFile: string;
  readonly systemNamespaces: readonly string[];
  /** When the agent that wrote it started: the latest of two that overlap has the say. Milliseconds since the epoch. */
  readonly agentStarted: number;
}

interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Record<string, unknown>[];
}

/** Before those of other networks, which begin at 05 or 10 by custom. */
export const conflistName = '00-ambit.conflist';
/** A version may follow. */
export const binaryPrefix = 'ambit-cni';

/** What the runtime would read of a folder: in the order of their names, with the extensions that count. */
export function isConfiguration(name: string): boolean {
  return /\.(conf|conflist|json)$/.test(name) && name !== conflistName;
}

/**
 * The text of a configuration with our plugin behind its others. null: it is no configuration that a runtime would take, or one
 * of a version without chains.
 */
export function chained(text: string, entry: PluginEntry): string | null {
  const configuration = readConflist(text);
  if (configuration === null) return null;
  const plugins = configuration.plugins.filter(({ type }) => !isOurs(type));
  return `${JSON.stringify({ ...configuration, plugins: [...plugins, entry] }, null, 2)}\n`;
}

/** Our plugin's entry; null: there is none. */
export function ownEntry(text: string): Partial<PluginEntry> | null {
  return readConflist(text)?.plugins.find(({ type }) => isOurs(type)) ?? null;
}

/** Types of all plugins that it names. */
export function pluginTypes(text: string): readonly string[] {
  return (readConflist(text)?.plugins ?? []).map(({ type }) => String(type));
}

function isOurs(type: unknown): boolean {
  return typeof type === 'string' && (type === binaryPrefix || type.startsWith(`${binaryPrefix}-`));
}

/** A single plugin's configuration is a list of one. */
function readConflist(text: string): Conflist | null {
  const value = parseOrNull(text);
  if (!isRecord(value)) return null;
  const { cniVersion, name, plugins } = value;
  if (typeof cniVersion !== 'string' || !/^(0\.[34]\.\d+|1\.\d+\.\d+)$/.test(cniVersion)) return null;
  if (typeof name !== 'string' || name === '') return null;
  if (Array.isArray(plugins)) {
    const all = plugins.filter((plugin) => isRecord(plugin) && typeof plugin['type'] === 'string');
    return all.length === plugins.length && all.length > 0
      ? { ...value, cniVersion, name, plugins: all as Record<string, unknown>[] }
      : null;
  }
  if (typeof value['type'] !== 'string') return null;
  const single = Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'cniVersion' && key !== 'name'));
  return { cniVersion, name, plugins: [single] };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
