import { Command, CommanderError } from 'commander';
import { EXIT, exitCodeOf } from '../agent/exit-codes.ts';
import { describeError } from '../config/errors.ts';
import { registerAgent } from './agent.ts';
import { registerCa } from './ca.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { CommandContext } from './command.ts';
import { registerControl } from './control.ts';
import { registerDetach } from './detach.ts';
import { registerExplain } from './explain.ts';
import { registerInstall } from './install.ts';
import { registerManifest } from './manifest.ts';
import { registerPrecheck } from './precheck.ts';
import { registerProfile } from './profile.ts';
import { registerProxyConfig, registerProxyStatus } from './proxy.ts';
import { registerUninstall } from './uninstall.ts';
import { registerVerifyInstall } from './verify-install.ts';
import { registerVersion } from './version.ts';
import { registerWaypoint } from './waypoint.ts';

const commands = [
  registerPrecheck,
  registerInstall,
  registerVerifyInstall,
  registerUninstall,
  registerManifest,
  registerProfile,
  registerVersion,
  registerExplain,
  registerWaypoint,
  registerProxyStatus,
  registerProxyConfig,
  registerAgent,
  registerControl,
  registerCa,
  registerDetach,
];

/** @param commandArguments without the names of node and script. @returns the exit status */
export async function main(commandArguments: readonly string[], context: CommandContext): Promise<number> {
  const program = new Command('ambit')
    .description('A service mesh for Kubernetes without sidecars.')
    .version(context.version, '-V, --version', 'Print the version.')
    .showHelpAfterError('Run with --help for what is allowed.')
    .addHelpText('after', EXIT_STATUS_HELP)
    .exitOverride();
  let status: number = EXIT.ok;
  const setStatus = (wanted: number): void => {
    status = wanted;
  };
  for (const register of commands) register(program, { ...context, setStatus });
  try {
    await program.parseAsync(commandArguments, { from: 'user' });
    return status;
  } catch (error) {
    // Commander has said what is wrong already; help and version arrive as errors, too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : status || EXIT.usage;
    process.stderr.write(`ambit: ${describeError(error)}\n`);
    return status || exitCodeOf(error);
  }
}
