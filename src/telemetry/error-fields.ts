/** An error as fields of a log record: its text with the chain of causes, and the stable code where one is known. */
export function errorFields(error: unknown): { readonly error: string; readonly code?: string } {
  const code = findCode(error);
  return code === undefined ? { error: describeError(error) } : { error: describeError(error), code };
}

/** `text: text of the cause: …` */
export function describeError(error: unknown): string {
  return causeChain(error)
    .map((link) => (link instanceof Error ? link.message : String(link)))
    .join(': ');
}

/** A cause chain made by hand can be a ring, so its length is limited. */
const LONGEST_CHAIN = 8;

function causeChain(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let link = error; link !== undefined && link !== null && chain.length < LONGEST_CHAIN;) {
    chain.push(link);
    link = link instanceof Error ? link.cause : undefined;
  }
  return chain;
}

function findCode(error: unknown): string | undefined {
  for (const link of causeChain(error)) {
    if (link instanceof Error && 'code' in link && typeof link.code === 'string') return link.code;
  }
  return undefined;
}
