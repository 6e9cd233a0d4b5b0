import { AmbitError } from '../config/errors.ts';

const lineFeed = 0x0a;

/**
 * Lines of a stream of bytes, without their end; a last line that has none is not given, for it may be cut short.
 *
 * @throws AmbitError `KUBERNETES_LINE_TOO_LONG` before more than `longest` bytes are kept
 */
export async function* linesOf(chunks: AsyncIterable<Buffer>, longest: number): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      parts.push(chunk.subarray(start, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      length = 0;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > longest)
      throw new AmbitError('KUBERNETES_LINE_TOO_LONG', `the API server sent a line of more than ${longest} bytes`);
  }
}
