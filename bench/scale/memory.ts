/** Bytes. */
export interface Memory {
  readonly resident: number;
  /** Most that was ever resident. */
  readonly highest: number;
  /** After a collection, where the process runs with --expose-gc. */
  readonly heap: number;
  /** Buffers outside of the heap. */
  readonly buffers: number;
}

export function measureMemory(): Memory {
  // What was resident before the collection is what the operator pays.
  const resident = process.memoryUsage.rss();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { resident, highest: process.resourceUsage().maxRSS * 1024, heap: heapUsed, buffers: arrayBuffers };
}

/** CPU seconds of this process so far. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
