import { manifestText } from '../install/chart.ts';
import { installation } from '../install/installation.ts';
import { addNamespaceOption, addValueOptions, siteOf } from './cluster-command.ts';
import type { ValueFlags } from './cluster-command.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { RegisterCommand } from './command.ts';

const HELP = `
Needs no cluster. The objects come in the order in which they can be applied; custom resources need a moment after their
definitions, so apply twice, or use \`ambit install\`.

Examples:
  ambit manifest generate --set strict=true > mesh.yaml
${EXIT_STATUS_HELP}`;

export const registerManifest: RegisterCommand = (program, context) => {
  const manifest = program.command('manifest').description('What an installation is made of.');
  const generate = manifest
    .command('generate')
    .description('Print the objects that `ambit install` applies, as YAML.')
    .addHelpText('after', HELP);
  addNamespaceOption(addValueOptions(generate)).action(async (flags: ValueFlags) => {
    context.output(manifestText(installation(await siteOf(flags, context))));
  });
};
