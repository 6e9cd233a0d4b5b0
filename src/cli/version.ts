import type { RegisterCommand } from './command.ts';

export const registerVersion: RegisterCommand = (program, context) => {
  program
    .command('version')
    .description('Print the version.')
    .action(() => {
      context.output(`ambit ${context.version} (node ${process.versions.node})\n`);
    });
};
