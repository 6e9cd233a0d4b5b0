import { findLines } from './access-log.ts';
import { authorizationPolicy, peerAuthentication } from './manifests.ts';
import { Mesh } from './mesh.ts';
import type { Running } from './processes.ts';
import { hold } from './testkit.ts';
import { waitFor } from './wait.ts';

const kept = 8081;
const denied = 8082;
/** From a change of policy to the end of all that it denies, of 10,000 open ones: the aim, in milliseconds. */
export const closingAim = 100;

/** What `ambit-testkit hold` saw of connections that the other side ended. */
export interface Watched {
  readonly ended: number;
  readonly resets: number;
  readonly open: number;
  readonly ids: readonly number[];
  /** Milliseconds since the epoch; null where none ended. */
  readonly firstAt: number | null;
  readonly lastAt: number | null;
}

export interface Closing {
  /** Connections of each kind; the ids of the denied ones begin here. */
  readonly each: number;
  readonly watched: Watched;
  /** What ended shortly afterwards although nothing denies it. */
  readonly afterwards: Watched;
  /** From the change in the state of the destination's agent until its engine was told of the last one. */
  readonly toldMilliseconds: number;
  /** From that change to the last one that it closed, as its access log says. */
  readonly closedMilliseconds: number;
  /** To the last reset at the client: through the other agent, too. */
  readonly seenMilliseconds: number;
}

/**
 * Holds connections from one node's pod to another's, as many to a port that stays allowed as to one that a policy then
 * denies. Over HBONE, so that a connection takes one descriptor of each agent: twice 5,000 fit the usual limit of 20,000.
 */
export async function closeByPolicy(each: number): Promise<Closing> {
  const member = { namespace: 'shop' };
  const mesh = await Mesh.create({
    pods: { client: 0, far: 1 },
    members: { client: member, far: member },
    servers: { far: [`echo@[::]:${kept}`, `echo@[::]:${denied}`] },
    documents: [peerAuthentication('shop', 'STRICT')],
  });
  try {
    const targets = [kept, denied].map((port) => mesh.at('far', port));
    const held = await hold(mesh.netns('client'), [...targets, '--count', String(each), '--exchange', '1'], 90_000);
    const waiting = watch(held, each, 30_000);
    const rules = [{ to: [{ operation: { ports: [String(denied)] } }] }];
    await mesh.apply('closing', [authorizationPolicy('shop', 'closing', { action: 'DENY', rules })]);
    const watched = await waiting;
    const { changedAt, toldMilliseconds } = await sweepOf(mesh);
    const afterwards = await watch(held, 1, 500);
    await held.finish();
    const closedMilliseconds = (await lastClosedBy(mesh, each)) - changedAt;
    const seenMilliseconds = (watched.lastAt ?? Infinity) - changedAt;
    return { each, watched, afterwards, toldMilliseconds, closedMilliseconds, seenMilliseconds };
  } finally {
    await mesh.remove();
  }
}

/** Resolves when so many have ended, or the time is over. */
async function watch(held: Running, count: number, limit: number): Promise<Watched> {
  const lines = (): string[] => held.lines.filter((line) => line.includes('"watch"'));
  const earlier = lines().length;
  held.write(`watch ${count} ${limit}\n`);
  const line = await waitFor(() => lines()[earlier], { timeout: limit + 10_000, what: 'the watch' });
  return JSON.parse(line) as Watched;
}

interface Sweep {
  /** When the agent of the destination began to hold what was open against the change. Milliseconds since the epoch. */
  readonly changedAt: number;
  readonly toldMilliseconds: number;
}

async function sweepOf(mesh: Mesh): Promise<Sweep> {
  const find = (): string | undefined =>
    mesh.agent(1).process.lines.find((line) => line.includes('a change of policy closed connections'));
  const line = await waitFor(find, { what: "the agent's word about what it closed" });
  const { time, milliseconds } = JSON.parse(line) as { time: string; milliseconds: number };
  return { changedAt: Date.parse(time) - milliseconds, toldMilliseconds: milliseconds };
}

/** When the destination's agent closed the last of so many. Milliseconds since the epoch. */
async function lastClosedBy(mesh: Mesh, count: number): Promise<number> {
  const closed = { direction: 'inbound', error: /policy_changed/ };
  const lines = await waitFor(
    async () => {
      const found = findLines(await mesh.agent(1).accessLog(), closed);
      return found.length >= count && found;
    },
    { what: `${count} lines of the access log` },
  );
  return Math.max(...lines.map((line) => Date.parse(String(line['time']))));
}
