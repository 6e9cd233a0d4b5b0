import { createInterface } from 'node:readline';
import process from 'node:process';
import type { Http2Session, IncomingHttpHeaders } from 'node:http2';

import type { AnnouncedSettings, Headers, Question, Reply } from './messages.ts';

type Answer = (question: Question) => Promise<Reply> | Reply;

export function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Answers each line of the input by the function of its name, and ends with the input. */
export function answerQuestions(answers: Readonly<Record<string, Answer>>): void {
  const input = createInterface({ input: process.stdin });
  input.on('line', (line) => void answerOne(JSON.parse(line) as Question, answers));
  input.on('close', () => process.exit(0));
}

async function answerOne(question: Question, answers: Readonly<Record<string, Answer>>): Promise<void> {
  const { id, ask } = question;
  try {
    const answer = answers[ask];
    if (answer === undefined) throw new Error(`nobody here answers ${ask}`);
    say({ id, ...(await answer(question)) });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    say({ id, error: error instanceof Error ? error.message : String(error), code });
  }
}

export function announced(session: Http2Session): AnnouncedSettings {
  const { remoteSettings } = session;
  return {
    initialWindowSize: remoteSettings.initialWindowSize ?? null,
    maxFrameSize: remoteSettings.maxFrameSize ?? null,
    maxHeaderListSize: remoteSettings.maxHeaderListSize ?? null,
    maxConcurrentStreams: remoteSettings.maxConcurrentStreams ?? null,
    enablePush: remoteSettings.enablePush ?? null,
    connectionWindow: session.state.remoteWindowSize ?? 0,
  };
}

export function textHeaders(headers: IncomingHttpHeaders): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
