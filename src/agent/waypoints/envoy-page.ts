import type { CallCounts } from './call-counts.ts';
import type { ProxyKind } from '../enrolment.ts';
import { escapeLabel, readLabels, readSample } from './exposition.ts';
import type { SampleText } from './exposition.ts';
import { familyOf } from './waypoint-families.ts';
import type { EnvoyFamily, FamilyType, WaypointFamily } from './waypoint-families.ts';

/** Samples of one family, as lines of Prometheus' text format. */
export interface FamilyText {
  readonly name: WaypointFamily;
  readonly type: FamilyType;
  readonly lines: string;
}

/** Why a line of a proxy's page is not on the agent's. */
export type Dropped = 'malformed' | 'unexpected' | 'too_many';

/** Above what all labels of a sample are long together. */
const LONGEST_LINE = 8 * 1024;
const TYPE = '# TYPE ';
/** Whom a proxy may report as: a gateway is where connections of the mesh begin. */
const reporters: Readonly<Record<ProxyKind, string>> = { waypoint: 'waypoint', gateway: 'source' };
const parts: ReadonlySet<string> = new Set(['_bucket', '_sum', '_count']);

export interface PageSettings {
  /** `NAMESPACE/POD`. Two proxies of a node count alike, and what both say must be told apart: so only the agent says this. */
  readonly name: string;
  readonly kind: ProxyKind;
  /** Lines that may be shown. */
  readonly series: number;
  readonly calls: CallCounts;
  readonly drop: (reason: Dropped) => void;
}

/**
 * Reads the Prometheus page of the proxy of a waypoint or gateway as it comes. A proxy is not trusted with the agent's page: only lines that
 * are wholly of the format, of names and labels that such proxies have, are shown, written anew and with who said so.
 */
export class EnvoyPage {
  readonly #settings: PageSettings;
  readonly #place: string;
  readonly #lines = new Map<WaypointFamily, { readonly type: FamilyType; readonly lines: string[] }>();
  #family: { readonly name: string; readonly is: EnvoyFamily } | null = null;
  /** What has come of a line whose end has not. */
  #rest = '';
  /** The lines of one histogram follow each other with the same labels. */
  #labels = { text: '', family: null as EnvoyFamily | null, written: null as string | null };
  #series = 0;

  constructor(settings: PageSettings) {
    this.#settings = settings;
    this.#place = `${settings.kind}="${escapeLabel(settings.name)}"`;
  }

  get series(): number {
    return this.#series;
  }

  feed(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
    // Whatever its end may be.
    if (this.#rest.length > LONGEST_LINE) this.#rest = this.#rest.slice(0, LONGEST_LINE + 1);
  }

  /** @param complete the page has not broken off */
  end(complete: boolean): readonly FamilyText[] {
    if (complete && this.#rest !== '') this.#line(this.#rest);
    this.#settings.calls.finish(complete);
    this.#showMessages();
    return [...this.#lines].map(([name, { type, lines }]) => ({ name, type, lines: lines.join('') }));
  }

  #line(line: string): void {
    if (line.startsWith(TYPE)) this.#heading(line);
    else if (line !== '' && !line.startsWith('#')) this.#sample(line);
  }

  #heading(line: string): void {
    const [name = '', type] = line.slice(TYPE.length).split(' ');
    const found = familyOf(name);
    const known = found !== null && found.type === type;
    this.#family = known ? { name, is: found } : null;
    if (found !== null && !known) this.#settings.drop('unexpected');
  }

  #sample(line: string): void {
    const sample = line.length > LONGEST_LINE ? null : readSample(line);
    if (sample === null) {
      this.#settings.drop('malformed');
      return;
    }
    const part = this.#family === null ? null : partOf(this.#family, sample);
    if (this.#family === null || part === null) this.#settings.drop('unexpected');
    else if (this.#family.is.shown === 'calls') this.#calls(this.#family.is, sample);
    else this.#show(this.#family.is, this.#family.is.shown, part, sample);
  }

  #show(family: EnvoyFamily, shown: WaypointFamily, part: string, { labels, bound, value }: SampleText): void {
    const written = this.#written(family, labels);
    if (written === null) return;
    const le = bound === null ? '' : `,le="${bound}"`;
    this.#add(shown, family.type, `${shown}${part}{${this.#place}${written}${le}} ${value}\n`);
  }

  #calls(family: EnvoyFamily, { labels: text, value }: SampleText): void {
    const labels = this.#accepted(family, text);
    if (labels === null) return;
    const { messages = '', ...others } = Object.fromEntries(labels);
    const [, requests, responses] = /^(\d{1,12}),(\d{1,12})$/.exec(messages) ?? [];
    // Without either number the call has ended before its first message.
    if (requests === undefined || responses === undefined) return;
    const counts = { requests: Number(requests), responses: Number(responses) };
    const { calls, drop } = this.#settings;
    if (!calls.add(writeLabels(Object.entries(others)), counts, Number(value))) drop('too_many');
  }

  #showMessages(): void {
    const { sums } = this.#settings.calls;
    for (const side of ['request', 'response'] as const) {
      const name = `istio_${side}_messages_total` as const;
      for (const [labels, { requests, responses }] of sums) {
        const value = side === 'request' ? requests : responses;
        this.#add(name, 'counter', `${name}{${this.#place}${labels}} ${value}\n`);
      }
    }
  }

  #add(name: WaypointFamily, type: FamilyType, line: string): void {
    if (this.#series >= this.#settings.series) {
      this.#settings.drop('too_many');
      return;
    }
    this.#series += 1;
    const known = this.#lines.get(name) ?? { type, lines: [] };
    this.#lines.set(name, known);
    known.lines.push(line);
  }

  /** @returns null where they are not what the family has */
  #written(family: EnvoyFamily, text: string): string | null {
    if (this.#labels.family !== family || this.#labels.text !== text) {
      const labels = this.#accepted(family, text);
      const written = labels === null ? null : family.constant === null ? writeLabels(labels) : `,${family.constant}`;
      this.#labels = { text, family, written };
    } else if (this.#labels.written === null) this.#settings.drop('unexpected');
    return this.#labels.written;
  }

  #accepted(family: EnvoyFamily, text: string): ReadonlyMap<string, string> | null {
    const labels = readLabels(text);
    if (labels === null) this.#settings.drop('malformed');
    else if ([...labels].some(([name, value]) => !this.#isOf(family, name, value))) this.#settings.drop('unexpected');
    else return labels;
    return null;
  }

  #isOf({ labels }: EnvoyFamily, name: string, value: string): boolean {
    return labels.has(name) && (name !== 'reporter' || value === reporters[this.#settings.kind]);
  }
}

/** What stands behind the family's name; null: the sample is of another family, or has a bound where none may be. */
function partOf({ name, is }: { readonly name: string; readonly is: EnvoyFamily }, sample: SampleText): string | null {
  if (!sample.name.startsWith(name)) return null;
  const part = sample.name.slice(name.length);
  const fits = is.type === 'histogram' ? parts.has(part) : part === '';
  return fits && (part === '_bucket') === (sample.bound !== null) ? part : null;
}

/** Each with a comma before it. Istio's boards know `unknown` where Envoy says nothing. */
function writeLabels(labels: Iterable<readonly [string, string]>): string {
  let written = '';
  for (const [name, value] of labels) written += `,${name}="${value === '' ? 'unknown' : value}"`;
  return written;
}
