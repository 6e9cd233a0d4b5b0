import type { Command } from 'commander';
import type { SettingRow } from '../config/setting-table.ts';

/** What a command may touch besides its own arguments. */
export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly output: (text: string) => void;
  readonly version: string;
  /** Path of the native addon. */
  readonly addon: string;
}

/** One run of the program. */
export interface Invocation extends CommandContext {
  /** For a command whose outcome is more than done or failed; also what its failures end with from then on. */
  readonly setStatus: (status: number) => void;
}

/** One file, one command. A command that fails throws; the exit status follows from the error's code. */
export type RegisterCommand = (program: Command, context: Invocation) => void;

export const EXIT_STATUS_HELP = `
Exit status:
  0  done
  1  something failed
  2  wrong flags or settings, or a file that they name is unusable
  3  what is needed is not there: root, a kernel feature, a mount, the built addon
`;

/** Without commander's own defaults: what a flag does not say, the environment may. */
export function addOption(
  command: Command,
  { flag, value, meaning, default: fallback, required }: Omit<SettingRow, 'key'>,
  shorthand: string | null = null,
): void {
  const suffix = required ? ' (required)' : fallback === null || fallback === '' ? '' : ` (default: ${fallback})`;
  command.option(`${shorthand === null ? '' : `-${shorthand}, `}--${flag} <${value}>`, meaning + suffix);
}
