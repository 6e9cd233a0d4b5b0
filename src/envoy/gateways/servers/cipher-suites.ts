import { cipherSuites } from '../tls-problem.ts';

const known = new Set(cipherSuites);

export interface ChosenSuites {
  readonly suites: readonly string[];
  /** Of these Envoy would refuse the whole server, or nobody should speak them. */
  readonly unknown: readonly string[];
}

/** @param asked names as OpenSSL has them, for TLS up to 1.2; those of TLS 1.3 are the library's own choice */
export function chooseCipherSuites(asked: readonly string[]): ChosenSuites {
  const suites = [...new Set(asked.map((name) => name.trim()))];
  return {
    suites: suites.filter((name) => known.has(name)),
    unknown: suites.filter((name) => name !== '' && !known.has(name)),
  };
}
