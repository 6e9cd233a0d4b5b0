import { enter } from './namespaces.ts';
import { exec } from './processes.ts';

export type Hook = 'input' | 'output' | 'forward';

/**
 * Runs with a rule of nftables in force inside a namespace; the rule begins with a match and ends before `counter drop`.
 * Resolves with what ran and how many packets were dropped.
 */
export async function dropping<T>(
  netns: string,
  hook: Hook,
  rule: string,
  run: () => Promise<T>,
): Promise<readonly [T, number]> {
  // nft wants a line end after each closing brace of a rule's block.
  const table = [
    'table inet lossy {',
    'chain way {',
    `type filter hook ${hook} priority -300;`,
    `${rule} counter drop`,
    '}',
    '}',
  ];
  await exec(enter(netns, ['nft', '-f', '-']), { input: `${table.join('\n')}\n` });
  try {
    const value = await run();
    const { stdout } = await exec(enter(netns, ['nft', 'list', 'table', 'inet', 'lossy']));
    return [value, Number(/counter packets (\d+)/.exec(stdout)?.[1] ?? 0)];
  } finally {
    await exec(enter(netns, ['nft', 'delete', 'table', 'inet', 'lossy']));
  }
}
