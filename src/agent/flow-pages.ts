import type { FlowInfo, NativeEngine } from '../native/binding.ts';

/** Flows asked for at once. */
const PAGE = 500;

/** All open flows of a pod, page by page; what opens and ends meanwhile may be there or not. */
export function* flowsOf(pod: string, flows: NativeEngine['flows']): Generator<FlowInfo> {
  let page: readonly FlowInfo[];
  let after = 0;
  do {
    page = flows(pod, after, PAGE);
    yield* page;
    after = page.at(-1)?.id ?? after;
  } while (page.length === PAGE);
}
