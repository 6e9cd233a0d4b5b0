import type { EngineEvent, Question } from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';

export interface EngineEventDependencies {
  readonly answerer: { readonly submit: (questions: readonly Question[]) => void };
  readonly enrolment: { readonly released: (uid: string) => void };
  readonly metrics: Pick<AgentMetrics, 'tampering'>;
  /** For what the engine itself reports. */
  readonly logger: Logger;
}

/** Hands each event of the engine to the one who deals with it. */
export function engineEventHandler(dependencies: EngineEventDependencies): (event: EngineEvent) => void {
  const { answerer, enrolment, metrics, logger } = dependencies;
  return (event) => {
    switch (event.kind) {
      case 'questions':
        answerer.submit(event.questions);
        return;
      case 'released':
        enrolment.released(event.pod);
        return;
      case 'tampering': {
        metrics.tampering.inc({ restored: String(event.restored) });
        const { pod, what, restored } = event;
        logger.warn({ pod, what, restored }, 'somebody changed what the agent keeps in the kernel');
        return;
      }
      case 'log':
        logger[event.level](parseFields(event.fields), event.message);
        return;
    }
  };
}

/** The engine writes a JSON object; what is none is shown as it came, since a log must not fail. */
function parseFields(text: string): Readonly<Record<string, unknown>> {
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return { ...fields };
  } catch {
    // Shown below.
  }
  return text === '' ? {} : { fields: text };
}
