import { initialiseAuthority } from '../ca/authority.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { RegisterCommand } from './command.ts';

const HELP = `
DIR must be new or empty. It gets a root and an intermediate (P-256), readable by its owner only. Copy the folder,
without its subfolder root, to each node whose agent shall sign by itself; whoever has it can be every workload of the
mesh. Agents read it when they start.

Examples:
  ambit ca init /var/lib/ambit/ca
${EXIT_STATUS_HELP}`;

export const registerCa: RegisterCommand = (program, context) => {
  const ca = program.command('ca').description('Make the certificate authority of a mesh without a cluster.');
  ca.command('init')
    .argument('<dir>', 'folder to make')
    .description('Make a CA folder.')
    .addHelpText('after', HELP)
    .action(async (directory: string) => {
      await initialiseAuthority(directory);
      context.output(`CA made in ${directory}\n`);
    });
};
