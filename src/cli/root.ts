import { AmbitError } from '../config/errors.ts';

/** @throws AmbitError `ROOT_NEEDED`, before anything fails half-way for want of it. */
export function requireRoot(command: string): void {
  if (process.geteuid?.() === 0) return;
  const message = `\`ambit ${command}\` loads programs into the kernel and enters the pods' network namespaces: run it as root`;
  throw new AmbitError('ROOT_NEEDED', message);
}
