import type { Histogram } from 'prom-client';

const SAMPLE_INTERVAL_MS = 100;

/**
 * Samples how late a timer fires. Ten samples a second cost nothing on an idle node and still see every stall longer than
 * the interval. Returns what stops it.
 */
export function sampleLoopLag(histogram: Pick<Histogram, 'observe'>): () => void {
  let expected = performance.now() + SAMPLE_INTERVAL_MS;
  const timer = setInterval(() => {
    const now = performance.now();
    histogram.observe(Math.max(0, now - expected) / 1000);
    expected = now + SAMPLE_INTERVAL_MS;
  }, SAMPLE_INTERVAL_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
