/**
 * `make bench-dns`: what it costs a pod that its node hears its name queries. The same client asks a resolver from a pod that is not
 * captured, and from one that is: for a name of the mesh, which the node answers, and for another, which it forwards there.
 */

import { loadavg } from 'node:os';
import process from 'node:process';

import { service } from '../../test/support/manifests.ts';
import { Mesh } from '../../test/support/mesh.ts';
import { reasonToSkip } from '../../test/support/suite.ts';
import { askNames, endpoint } from '../../test/support/testkit.ts';
import type { NamesResult } from '../../test/support/testkit.ts';
import { residentBytes } from '../cpu.ts';
import { median } from '../table.ts';

const rounds = 3;
/** Milliseconds of each cell. */
const duration = 3_000;
const captured = { 'ambient.istio.io/dns-capture': 'true' };
const own = 'web.shop.svc.cluster.local';
const foreign = 'www.example.com';

/** Who asks for what. */
const ways = [
  ['resolver', 'plain', foreign],
  ['mesh name', 'client', own],
  ['forwarded', 'client', foreign],
] as const;

function open(): Promise<Mesh> {
  return Mesh.create({
    nodes: 1,
    pods: { client: 0, plain: 0, web: 0, resolver: 0 },
    members: {
      client: { namespace: 'shop', annotations: captured },
      plain: { namespace: 'shop' },
      web: { namespace: 'shop' },
    },
    servers: { resolver: ['udp-names@[::]:53'] },
    documents: [
      service({ name: 'web', namespace: 'shop', vips: ['10.96.7.1'], ports: { 80: 8080 }, selector: { app: 'web' } }),
    ],
  });
}

/** Of each way the rounds, in turn: what else the machine does meets all alike. */
async function measure(mesh: Mesh, clients: number): Promise<readonly NamesResult[][]> {
  const seen: NamesResult[][] = ways.map(() => []);
  const server = endpoint(mesh.pod('resolver').ipv4, 53);
  for (let round = 0; round < rounds; round++) {
    for (const [index, [, pod, name]] of ways.entries()) {
      const options = ['--clients', String(clients), '--duration', String(duration)];
      const result = await askNames(mesh.netns(pod), server, name, options);
      if (result.lost + result.wrong + result.failures.length > 0) throw new Error(JSON.stringify(result));
      seen[index]?.push(result);
    }
  }
  return seen;
}

function row(what: string, unit: string, seen: readonly NamesResult[][], of: (one: NamesResult) => number): string {
  const medians = seen.map((results) => median(results.map(of)));
  const cells = medians.map((value) => Math.round(value).toLocaleString('en-US').padStart(12));
  const ratios = medians.slice(1).map((value) => (value / (medians[0] ?? NaN)).toFixed(2).padStart(8));
  return [what.padEnd(18), ...cells, ...ratios, unit].join(' ');
}

async function main(): Promise<number> {
  const reason = reasonToSkip();
  if (reason !== null) {
    console.error(`ambit bench: ${reason}`);
    return 2;
  }
  const mesh = await open();
  try {
    const { pid } = mesh.agent(0).process;
    const before = await residentBytes(pid);
    const heads = ways.map(([name]) => name.padStart(12));
    console.log(`load ${(loadavg()[0] ?? 0).toFixed(1)}`);
    console.log([''.padEnd(18), ...heads, 'ratio'.padStart(8), 'ratio'.padStart(8)].join(' '));
    for (const clients of [1, 64]) {
      const seen = await measure(mesh, clients);
      console.log(row(`${clients} at a time`, '/s', seen, ({ rate }) => rate));
      console.log(row('  p50', 'µs', seen, ({ p50 }) => p50));
      console.log(row('  p99', 'µs', seen, ({ p99 }) => p99));
    }
    const after = await residentBytes(pid);
    console.log(`agent: ${Math.round(before / 1e6)} MB resident before, ${Math.round(after / 1e6)} MB after`);
    return 0;
  } finally {
    await mesh.remove();
  }
}

process.exitCode = await main();
