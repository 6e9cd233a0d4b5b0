import { AmbitError } from '../config/errors.ts';

export interface Page {
  readonly status: number;
  readonly text: string;
}

/** What any answer of ours comes to at most. */
const longestPage = 64 * 1024 * 1024;

export interface PageRequest {
  readonly url: string;
  /** Milliseconds. */
  readonly deadline: number;
  /** For an error where nothing answers. */
  readonly unreachable: { readonly code: string; readonly hint: string };
}

/** @throws AmbitError where nothing answers in time */
export async function fetchPage({ url, deadline, unreachable }: PageRequest): Promise<Page> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(deadline) });
    return { status: response.status, text: await readText(response) };
  } catch (cause) {
    const { origin } = new URL(url);
    throw new AmbitError(unreachable.code, `${origin} gives no answer: ${unreachable.hint}`, { cause });
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function readText(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    const bytes = part as Uint8Array;
    length += bytes.length;
    if (length > longestPage) throw new Error(`the answer is longer than ${longestPage} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString('utf8');
}
