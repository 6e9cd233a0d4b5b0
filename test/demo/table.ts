/** One thing that the demo claims; `prove` gives what was seen, and throws when the claim does not hold. */
export interface Claim {
  readonly name: string;
  readonly prove: () => Promise<string>;
}

export interface Outcome {
  readonly name: string;
  readonly held: boolean;
  readonly seen: string;
}

/** Proves a claim; what went wrong becomes what was seen. */
export async function judge({ name, prove }: Claim): Promise<Outcome> {
  try {
    return { name, held: true, seen: await prove() };
  } catch (error) {
    return { name, held: false, seen: error instanceof Error ? error.message : String(error) };
  }
}

/** One line of the table; what failed keeps its whole text, below. */
export function formatOutcome({ name, held, seen }: Outcome, width: number): string {
  const [first = '', ...rest] = seen.split('\n');
  const line = `${held ? 'ok  ' : 'FAIL'}  ${name.padEnd(width)}  ${first}`;
  return [line, ...rest.map((text) => `      ${text}`)].join('\n');
}
