/** One line of Prometheus' text format, taken apart. */
export interface SampleText {
  readonly name: string;
  /** As they stand, without the braces and without `le`. */
  readonly labels: string;
  /** Upper bound of a bucket, null for what is no bucket. */
  readonly bound: string | null;
  readonly value: string;
}

const line = /^([a-zA-Z_][a-zA-Z0-9_]*)\{(.*)\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;
/** A quote within a value has a backslash before it, so this finds the last label or nothing. */
const lastBound = /(?:^|,)le="(\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf)"$/;

/** @returns null where it is no sample of a counter or a histogram with nothing but a value behind its labels */
export function readSample(text: string): SampleText | null {
  const [, name, all = '', value] = line.exec(text) ?? [];
  if (name === undefined || value === undefined) return null;
  const bucket = lastBound.exec(all);
  return { name, labels: bucket === null ? all : all.slice(0, bucket.index), bound: bucket?.[1] ?? null, value };
}

/** A backslash stands before a quote, a backslash, or for a line's end in `\n`, and nowhere else. */
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;

/** @returns values by name, escaped as they stand; null where the text is no list of labels, or has one twice */
export function readLabels(text: string): ReadonlyMap<string, string> | null {
  const labels = new Map<string, string>();
  label.lastIndex = 0;
  for (let at = 0; at < text.length; at = label.lastIndex) {
    const [, name, value, end] = label.exec(text) ?? [];
    if (name === undefined || value === undefined || labels.has(name)) return null;
    // A comma must have another label behind it.
    if (end === ',' && label.lastIndex === text.length) return null;
    labels.set(name, value);
  }
  return labels;
}

/** A text as the value of a label. */
export function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
