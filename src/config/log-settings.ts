import { optional } from './setting-definition.ts';
import { oneOf } from './setting-parsers.ts';

/** What every process that logs lets be set. */
export const logDefinitions = {
  logLevel: optional(
    'log-level',
    'LEVEL',
    'info',
    'error, warn, info or debug.',
    oneOf('error', 'warn', 'info', 'debug'),
  ),
  logFormat: optional('log-format', 'FORMAT', 'json', 'json or plain.', oneOf('json', 'plain')),
};
