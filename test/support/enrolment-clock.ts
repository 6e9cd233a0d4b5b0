/** Enrols pods with the engine alone and writes how long each took. Its input: engine options and pods, as JSON. */
import process from 'node:process';

import { loadNative } from '../../src/native/loader.ts';
import type { EngineOptions, PodSpec } from '../../src/native/binding.ts';
import { root } from './paths.ts';

interface Order {
  readonly options: EngineOptions;
  readonly pods: readonly PodSpec[];
}

let input = '';
for await (const chunk of process.stdin) input += String(chunk);
const { options, pods } = JSON.parse(input) as Order;
const engine = new (loadNative(`${root}build/ambit.node`).Engine)(options, () => undefined);
await engine.start();
const milliseconds: number[] = [];
for (const pod of pods) {
  const started = performance.now();
  await engine.enrol(pod);
  milliseconds.push(performance.now() - started);
}
await engine.stop();
console.log(JSON.stringify(milliseconds));
process.exit(0);
