import { once } from 'node:events';
import type { RequestListener, ServerResponse } from 'node:http';
import type { Request } from '../explain/names.ts';
import { explainRoute } from '../explain/page.ts';
import type { Explanation } from '../explain/shape.ts';
import { isLogLevel, LOG_LEVELS } from '../telemetry/logger.ts';
import type { Logger, Logging, LogLevel } from '../telemetry/logger.ts';
import { Slices } from '../timing/slices.ts';
import { configDump } from './config-dump.ts';
import type { AccessLogSettings } from './access-log-settings.ts';
import type { AgentDump } from './agent-servers.ts';
import type { DumpSources } from './config-dump.ts';
import { routeRequests, sendText } from '../process/http-routes.ts';

export interface AdminServerDependencies {
  readonly dump: () => AgentDump;
  readonly explain: (request: Request) => Promise<Explanation>;
  readonly logging: Pick<Logging, 'setLevel' | 'setComponentLevel' | 'reset' | 'describe' | 'componentNames'>;
  readonly accessLog: Pick<AccessLogSettings, 'change' | 'reset' | 'describe'>;
  readonly logger: Logger;
}

/** The pages for operators, on localhost only: whoever reaches them sees every workload, policy and connection. */
export function adminHandler(dependencies: AdminServerDependencies): RequestListener {
  return routeRequests(
    [
      {
        method: 'GET',
        path: '/',
        handle: (_url, response) => {
          sendText(response, 200, INDEX, 'text/html');
        },
      },
      {
        method: 'GET',
        path: '/config_dump',
        handle: (_url, response) => sendDumpOrWait(dependencies.dump(), response),
      },
      explainRoute('/explain', dependencies.explain),
      {
        method: 'POST',
        path: '/logging',
        handle: (url, response) => {
          setLogging(dependencies, url.searchParams, response);
        },
      },
    ],
    dependencies.logger,
  );
}

const INDEX = `<!doctype html>
<title>ambit agent</title>
<h1>ambit agent</h1>
<ul>
<li><a href="config_dump">config_dump</a>: workloads, services, policies, certificates and connections as JSON</li>
<li>explain?source=NAMESPACE/POD&amp;destination=NAME:PORT: what happens to a connection, as far as this agent knows</li>
<li>POST logging: show the log levels; ?level=LEVEL, ?level=COMPONENT=LEVEL,… changes them, ?access-log-sampling=PERCENT and
?access-log-filter=CONDITIONS what the access log tells of, ?reset both</li>
</ul>
`;

/** Pieces go out in chunks of this size, because a write per piece would cost more than the pieces. */
const CHUNK_LENGTH = 64 * 1024;

async function sendDumpOrWait(dump: AgentDump, response: ServerResponse): Promise<void> {
  const { state } = dump;
  if (state === null) sendText(response, 503, 'the manifests are not read yet\n');
  else await sendDump({ ...dump, state }, response);
}

async function sendDump(sources: DumpSources, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' });
  const closed = new AbortController();
  response.once('close', () => {
    closed.abort();
  });
  const slices = new Slices();
  let chunk = '';
  for (const piece of configDump(sources)) {
    chunk += piece;
    if (slices.exhausted) await slices.pause();
    if (closed.signal.aborted) return;
    if (chunk.length < CHUNK_LENGTH) continue;
    if (!response.write(chunk)) await drained(response, closed.signal);
    chunk = '';
  }
  response.end(chunk);
}

/** A reader that stops reading must not make the dump pile up in memory; one that goes away ends the wait. */
async function drained(response: ServerResponse, closed: AbortSignal): Promise<void> {
  try {
    await once(response, 'drain', { signal: closed });
  } catch (error) {
    if (!closed.aborted) throw error;
  }
}

function setLogging(
  { logging, accessLog }: AdminServerDependencies,
  parameters: URLSearchParams,
  response: ServerResponse,
): void {
  if (parameters.has('reset')) {
    logging.reset();
    accessLog.reset();
  }
  const wanted = parameters.get('level');
  const changes = wanted === null ? [] : parseLevels(wanted);
  if (changes === null) {
    const expected = `LEVEL or COMPONENT=LEVEL, separated by commas; LEVEL is one of ${LOG_LEVELS.join(', ')}`;
    sendText(response, 400, `not a list of levels: write ${expected}\n`);
    return;
  }
  const mistake = accessLog.change(parameters.get('access-log-sampling'), parameters.get('access-log-filter'));
  if (mistake !== null) {
    sendText(response, 400, `${mistake}\n`);
    return;
  }
  for (const { component, level } of changes) {
    if (component === null) logging.setLevel(level);
    else logging.setComponentLevel(component, level);
  }
  const components = logging.componentNames().join(', ');
  const levels = `current log level is ${logging.describe()}\ncomponents: ${components}\n`;
  sendText(response, 200, `${levels}access log: ${accessLog.describe()}\n`);
}

interface LevelChange {
  readonly component: string | null;
  readonly level: LogLevel;
}

/** `info` or `enrolment=debug,engine=warn`. Null where any part of it is neither: then nothing is changed. */
function parseLevels(text: string): readonly LevelChange[] | null {
  const changes: LevelChange[] = [];
  for (const part of text.toLowerCase().split(',')) {
    const separator = part.indexOf('=');
    const component = separator < 0 ? null : part.slice(0, separator);
    const level = part.slice(separator + 1);
    if (!isLogLevel(level) || (component !== null && !/^[a-z][a-z0-9-]{0,63}$/.test(component))) return null;
    changes.push({ component, level });
  }
  return changes;
}
