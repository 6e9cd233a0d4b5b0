import { stringify } from 'yaml';
import { resolveValues } from '../install/values/resolve.ts';
import { profiles } from '../install/values.ts';
import { EXIT_STATUS_HELP } from './command.ts';
import type { RegisterCommand } from './command.ts';

const HELP = `
Examples:
  ambit profile list
  ambit profile dump demo > values.yaml
${EXIT_STATUS_HELP}`;

export const registerProfile: RegisterCommand = (program, context) => {
  const profile = program.command('profile').description('Named sets of values.');
  profile
    .command('list')
    .description('Print the names of the profiles.')
    .addHelpText('after', HELP)
    .action(() => {
      context.output(
        Object.keys(profiles)
          .map((name) => `${name}\n`)
          .join(''),
      );
    });
  profile
    .command('dump')
    .argument('[name]', 'of the profile', 'default')
    .description('Print all values of a profile as YAML; with --values, `ambit install` reads it back.')
    .addHelpText('after', HELP)
    .action((name: string) => {
      context.output(stringify(resolveValues({ profile: name, files: [], set: [], namespace: 'istio-system' })));
    });
};
