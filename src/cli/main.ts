// What bin/ambit runs. @peculiar/x509 needs the metadata API before anything of it is loaded.
import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { main } from './program.ts';

/** This file lies three folders below the package once it is built. */
function packagePath(path: string): string {
  return fileURLToPath(new URL(`../../../${path}`, import.meta.url));
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packagePath('package.json'), 'utf8')) as { readonly version: string };
  return version;
}

const status = await main(process.argv.slice(2), {
  environment: process.env,
  output: (text) => process.stdout.write(text),
  version: packageVersion(),
  addon: packagePath('build/ambit.node'),
});
// Whatever still holds the event loop must not keep an ended command running; writes to files and pipes are done by now.
process.exit(status);
