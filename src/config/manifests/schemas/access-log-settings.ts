import { z } from 'zod';
import { formatMistakes } from '../../access-log-format.ts';
import { text } from './common.ts';

const encodings = ['JSON', 'TEXT'] as const;

const file = text.refine((value) => value === '' || value === '/dev/stdout', {
  error: 'must be /dev/stdout, or empty for none: a waypoint has no other file',
});

/** The log of requests and connections at waypoints, in the words of Istio's `meshConfig`. */
export const accessLogFields = {
  accessLogFile: file
    .default('')
    .describe('`/dev/stdout`: waypoints tell of each request and connection. Off unless said, as in Istio.'),
  accessLogEncoding: z
    .enum(encodings, { error: `must be ${encodings.join(' or ')}` })
    .default('JSON')
    .describe('`JSON`, with the keys that Istio’s has and the labels of both ends, or `TEXT`, a line as Istio’s.'),
  accessLogFormat: text
    .default('')
    .describe('A line, or with `JSON` an object of texts, with operators of Envoy: see [waypoints.md](waypoints.md).'),
  accessLogSampling: z
    .number({ error: 'must be a number from 0 to 100' })
    .min(0)
    .max(100)
    .default(100)
    .describe('Per cent of those that ended well; of what failed, was refused or is audited all are told.'),
};

interface AccessLogSettings {
  readonly accessLogEncoding: (typeof encodings)[number];
  readonly accessLogFormat: string;
}

/** Envoy refuses all that it is told for one operator that it does not know. */
export function accessLogMistakes({ accessLogEncoding, accessLogFormat }: AccessLogSettings): readonly string[] {
  if (accessLogFormat === '') return [];
  if (accessLogEncoding === 'TEXT') return formatMistakes(accessLogFormat);
  const fields = readLogFields(accessLogFormat);
  return fields === null ? ['must be a JSON object of texts'] : Object.values(fields).flatMap(formatMistakes);
}

const logFields = z.record(z.string(), z.string());

/** @returns null where the text is no JSON object of texts */
export function readLogFields(text: string): Readonly<Record<string, string>> | null {
  try {
    return logFields.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
