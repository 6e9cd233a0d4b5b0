import { fileURLToPath } from 'node:url';

/** The checkout: compiled files lie in dist/test/support. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const testkitBinary = `${root}build/ambit-testkit`;
export const ambitBinary = `${root}bin/ambit`;
