/** What the TLS library of Envoy can be told to use up to TLS 1.2; those of TLS 1.3 are its own choice. */
const known: ReadonlySet<string> = new Set([
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
]);

export interface ChosenSuites {
  readonly suites: readonly string[];
  /** What Envoy does not know: it would refuse the whole server. */
  readonly unknown: readonly string[];
}

export function chooseCipherSuites(asked: readonly string[]): ChosenSuites {
  const suites = [...new Set(asked.map((name) => name.trim()))];
  return {
    suites: suites.filter((name) => known.has(name)),
    unknown: suites.filter((name) => name !== '' && !known.has(name)),
  };
}
