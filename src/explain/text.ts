import { describeInbound } from './inbound-text.ts';
import { describeOutbound } from './outbound-text.ts';
import type { Explanation } from './shape.ts';
import type { Step } from './text-parts.ts';
import { describeVerdict } from './verdict.ts';

const titleWidth = 12;

/** For people: numbered steps in the order in which a connection meets them, and the verdict. */
export function describeExplanation(explanation: Explanation): string {
  const { source, destination, meaning, outbound, problem, paths, conditions, verdict } = explanation;
  const steps: Step[] = [
    ...describeOutbound(outbound, meaning, problem),
    ...paths.flatMap((path) => describeInbound(path, paths.length > 1)),
    ...(conditions.length === 0 ? [] : [{ title: 'not honoured', lines: conditions.map(describeCondition) }]),
  ];
  const numbered = steps.map((step, index) => layOut(step, index + 1));
  return `${source} → ${destination}\n\n${numbered.join('')}\n${describeVerdict(verdict)}\n`;
}

function layOut({ title, lines }: Step, number: number): string {
  const indent = ' '.repeat(4 + titleWidth + 2);
  const head = `${String(number).padStart(2)}. ${title.padEnd(titleWidth)}  `;
  return lines.map((line, index) => `${index === 0 ? head : indent}${line}\n`).join('');
}

function describeCondition({ resource, reason, message }: Explanation['conditions'][number]): string {
  return `${resource}: ${reason}: ${message}`;
}
