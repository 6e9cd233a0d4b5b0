import assert from 'node:assert/strict';
import { test } from 'node:test';

import { manifestSuite } from '../manifest-suite.ts';
import { EchoClient } from './case.ts';
import type { EchoCase } from './case.ts';
import { serveEcho, spaceDocuments } from './world.ts';

/** Cases that share one Envoy, each in a namespace of its own. */
export function echoSuite(name: string, given: readonly EchoCase[]): void {
  const cases = given.map((each, place) => {
    const space = `case-${place}`;
    const asked = new Set([...each.checks.map(({ ask }) => ask(space).to ?? 'echo'), 'echo' as const]);
    return { ...each, space, place, asked };
  });
  manifestSuite(
    name,
    serveEcho,
    (servers) => cases.flatMap((each) => [...spaceDocuments(each, servers), ...each.documents(each.space)]),
    (waypoint) => {
      for (const { name: what, space, place, checks, conditions = [], also } of cases) {
        test(what, async () => {
          const client = new EchoClient(space, place, waypoint);
          for (const each of checks) await client.prove(each);
          await also?.(client);
          assert.deepEqual(conditionsIn(waypoint().mesh.conditions, space), conditions);
        });
      }
    },
  );
}

/** `Type/Reason` of what is said of the manifests of a case. */
function conditionsIn(said: readonly string[], space: string): readonly string[] {
  const own = said.filter((text) => new RegExp(`^\\w+ ${space}(-consumer)?/`).test(text));
  return own.map((text) => text.slice(text.indexOf(': ') + 2)).sort();
}
