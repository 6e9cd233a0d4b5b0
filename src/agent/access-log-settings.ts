import { accessLogConditions, accessLogText, samplingShare } from '../config/access-log-filter.ts';
import type { AgentSettings } from '../config/settings.ts';
import type { AccessLogFilter } from '../native/binding.ts';

/** What the access log leaves out: set at the start, changed while the agent runs. */
export class AccessLogSettings {
  readonly #initial: AccessLogFilter;
  readonly #apply: (filter: AccessLogFilter) => void;
  #filter: AccessLogFilter;

  /** @param apply is told of each change; whoever comes later asks for `filter` */
  constructor(
    settings: Pick<AgentSettings, 'accessLogSampling' | 'accessLogFilter'>,
    apply: (filter: AccessLogFilter) => void,
  ) {
    this.#initial = { sampling: settings.accessLogSampling, ...settings.accessLogFilter };
    this.#filter = this.#initial;
    this.#apply = apply;
  }

  get filter(): AccessLogFilter {
    return this.#filter;
  }

  /** As the settings take it. */
  describe(): string {
    const { sampling, filter } = accessLogText(this.#filter.sampling, this.#filter);
    return `sampling ${sampling} %, filter ${filter}`;
  }

  /** Null keeps what it is. Returns what is wrong, and changes nothing then. */
  change(sampling: string | null, filter: string | null): string | null {
    const share = sampling === null ? null : samplingShare(sampling);
    if (share?.ok === false) return `access-log-sampling is not ${share.expected}`;
    const conditions = filter === null ? null : accessLogConditions(filter);
    if (conditions?.ok === false) return `access-log-filter is not ${conditions.expected}`;
    this.#set({ ...this.#filter, ...conditions?.value, sampling: share?.value ?? this.#filter.sampling });
    return null;
  }

  reset(): void {
    this.#set(this.#initial);
  }

  #set(filter: AccessLogFilter): void {
    this.#filter = filter;
    this.#apply(filter);
  }
}
