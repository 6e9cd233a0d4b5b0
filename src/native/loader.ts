import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { AmbitError } from '../config/errors.ts';
import type { NativeEngine, NativeModule } from './binding.ts';
import { toEngineError } from './errors.ts';

/** Told of every call into the addon: the method, and how long it took until it returned (not until its promise settled). */
export type NativeTrace = (call: string, milliseconds: number) => void;

/**
 * Loads the addon. Main thread only: a native thread that outlives the worker that loaded it would call into a freed
 * environment.
 *
 * @throws AmbitError `ADDON_MISSING` or `ADDON_UNUSABLE`
 */
export function loadNative(path: string, trace: NativeTrace | null = null): NativeModule {
  if (!existsSync(path)) throw new AmbitError('ADDON_MISSING', `${path} is not there: build it with \`make build\``);
  return wrapNative(requireAddon(path), trace);
}

function requireAddon(path: string): NativeModule {
  try {
    return createRequire(import.meta.url)(path) as NativeModule;
  } catch (cause) {
    throw new AmbitError('ADDON_UNUSABLE', `${path} does not load: build it on this machine with \`make build\``, {
      cause,
    });
  }
}

/** The same module, with errors of our own class and, where asked for, a trace of its calls. */
export function wrapNative(native: NativeModule, trace: NativeTrace | null): NativeModule {
  return {
    Engine: new Proxy(native.Engine, {
      construct: (target, args) =>
        guard('new Engine', trace, () => wrapEngine(Reflect.construct(target, args) as NativeEngine, trace)),
    }),
    detach: (...args) => guard('detach', trace, () => native.detach(...args)),
  };
}

function wrapEngine(engine: NativeEngine, trace: NativeTrace | null): NativeEngine {
  return new Proxy(engine, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown =>
        guard(String(name), trace, () => Reflect.apply(member, target, args) as unknown);
    },
  });
}

function guard<T>(call: string, trace: NativeTrace | null, run: () => T): T {
  const started = trace === null ? 0 : performance.now();
  try {
    const result = run();
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      throw toEngineError(error, call);
    }) as T;
  } catch (error) {
    throw toEngineError(error, call);
  } finally {
    trace?.(call, performance.now() - started);
  }
}
