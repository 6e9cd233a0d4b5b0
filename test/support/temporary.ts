import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where a run keeps manifests, CA, state and logs. */
export function temporaryFolderOf(run: string): string {
  return join(tmpdir(), `ambit-${run}`);
}
