import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type LabelQuery = Readonly<Record<string, string | RegExp>>;

/** Reads the Prometheus text format. @throws Error on a line that is none of it. */
export function parseMetrics(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseSample);
}

function parseSample(line: string): Sample {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?$/.exec(line);
  if (match === null) throw new Error(`not a sample of the Prometheus text format: ${line}`);
  const [, name = '', labels = '', value = ''] = match;
  return { name, labels: parseLabels(labels), value: parseValue(value) };
}

function parseLabels(text: string): Record<string, string> {
  const pairs = text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, unescape(value)]));
}

function unescape(value: string): string {
  return value.replace(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}

function parseValue(text: string): number {
  if (text === '+Inf') return Infinity;
  return text === '-Inf' ? -Infinity : Number(text);
}

/** All samples of that name whose labels fit. */
export function select(samples: readonly Sample[], name: string, labels: LabelQuery = {}): Sample[] {
  return samples.filter((sample) => sample.name === name && labelsFit(sample.labels, labels));
}

function labelsFit(labels: Readonly<Record<string, string>>, query: LabelQuery): boolean {
  return Object.entries(query).every(([name, wanted]) => {
    const value = labels[name] ?? '';
    return typeof wanted === 'string' ? value === wanted : wanted.test(value);
  });
}

/** Sum of what fits; 0 where nothing does. */
export function sum(samples: readonly Sample[], name: string, labels: LabelQuery = {}): number {
  return select(samples, name, labels).reduce((total, { value }) => total + value, 0);
}

export function assertMetric(samples: readonly Sample[], name: string, labels: LabelQuery, atLeast = 1): void {
  const value = sum(samples, name, labels);
  const near = samples.filter((sample) => sample.name === name).slice(0, 20);
  const shown = near.map((sample) => JSON.stringify(sample)).join('\n  ');
  assert.ok(value >= atLeast, `${name}${JSON.stringify(labels)} is ${value}, expected ${atLeast} or more:\n  ${shown}`);
}
