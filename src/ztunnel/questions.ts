import type { Answer, NativeEngine, Question } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';

/** What decides; throwing is allowed. */
export interface Decider {
  decide(question: Question): Answer;
  /** @param reason a stable code; else that deciding failed */
  denyFailed(question: Question, reason?: string): Answer;
  retryFailed(): void;
}

export interface QuestionAnswererDependencies {
  readonly decider: Decider;
  readonly engine: Pick<NativeEngine, 'answer'>;
  readonly metrics: Pick<AgentMetrics, 'upcallQuestions' | 'upcallFailures' | 'decisionSeconds'>;
  readonly logger: Logger;
  /** Calls back once, later; the wait before what failed is tried again. */
  readonly later: (milliseconds: number, callback: () => void) => void;
}

/** How long a denial stands that only says that the decision failed. Milliseconds. */
const RETRY_FAILED_AFTER_MS = 1000;

/** Answers the engine's questions in the order in which they came, many to a call. */
export class QuestionAnswerer {
  readonly #dependencies: QuestionAnswererDependencies;
  #waiting: Question[] = [];
  #answering = false;
  #retryPlanned = false;

  constructor(dependencies: QuestionAnswererDependencies) {
    this.#dependencies = dependencies;
  }

  /** Answers at once what fits a slice; the rest follows. Never throws because of a question. */
  submit(questions: readonly Question[]): void {
    this.#waiting.push(...questions);
    if (this.#answering) return;
    this.#answering = true;
    void this.#answerAll();
  }

  /** Denies without deciding; the engine asks again before long. */
  refuse(questions: readonly Question[], reason: string): void {
    const { engine, decider, metrics, logger } = this.#dependencies;
    if (questions.length === 0) return;
    for (const { kind } of questions) metrics.upcallQuestions.inc({ kind, action: 'deny' });
    try {
      engine.answer(questions.map((question) => decider.denyFailed(question, reason)));
      this.#planRetry();
    } catch (error) {
      logger.error(errorFields(error), 'answers could not be handed to the engine');
    }
  }

  async #answerAll(): Promise<void> {
    const slices = new Slices();
    try {
      while (this.#waiting.length > 0) {
        this.#answerSlice(slices);
        await slices.pause();
      }
    } catch (error) {
      // Only handing over can fail here, and then the engine is stopped or broken: its own time limit ends the flows.
      this.#dependencies.logger.error(errorFields(error), 'answers could not be handed to the engine');
      this.#waiting = [];
    } finally {
      this.#answering = false;
    }
  }

  /** Answers leave before the slice ends: one that waited could be older than an invalidation sent before it. */
  #answerSlice(slices: Slices): void {
    const answers: Answer[] = [];
    let taken = 0;
    for (const question of this.#waiting) {
      answers.push(this.#answerOne(question));
      taken++;
      if (slices.exhausted) break;
    }
    this.#waiting = this.#waiting.slice(taken);
    this.#dependencies.engine.answer(answers);
  }

  #answerOne(question: Question): Answer {
    const { decider, metrics } = this.#dependencies;
    const started = performance.now();
    const answer = this.#decide(decider, question);
    metrics.decisionSeconds.observe({ kind: question.kind }, (performance.now() - started) / 1000);
    metrics.upcallQuestions.inc({ kind: question.kind, action: answer.action });
    return answer;
  }

  #decide(decider: Decider, question: Question): Answer {
    try {
      return decider.decide(question);
    } catch (error) {
      this.#dependencies.metrics.upcallFailures.inc();
      this.#dependencies.logger.error({ ...errorFields(error), question }, 'a question could not be decided');
      this.#planRetry();
      return decider.denyFailed(question);
    }
  }

  #planRetry(): void {
    if (this.#retryPlanned) return;
    this.#retryPlanned = true;
    this.#dependencies.later(RETRY_FAILED_AFTER_MS, () => {
      this.#retryPlanned = false;
      this.#dependencies.decider.retryFailed();
    });
  }
}
