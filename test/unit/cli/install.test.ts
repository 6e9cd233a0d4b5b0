import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

import { parse, parseAllDocuments } from 'yaml';
import { installation } from '../../../src/install/installation.ts';
import { main } from '../../../src/cli/program.ts';
import { paths, siteWith, startInstallFixture } from '../../support/kube/install-fixture.ts';
import { root } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';

interface Outcome {
  readonly status: number;
  readonly output: string;
}

async function run(words: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  let output = '';
  const status = await main(words, {
    environment: { HOME: '/nonexistent', ...variables },
    output: (text) => {
      output += text;
    },
    version: '1.2.3',
    addon: '/nonexistent',
  });
  return { status, output };
}

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ambit-install-'));
  context.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** A kubeconfig with one context, which leads to the server. */
async function kubeconfig(context: TestContext, server: string, user: object = { token: 'secret' }): Promise<string> {
  const file = join(await temporaryFolder(context), 'kubeconfig');
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    clusters: [{ name: 'fake', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user }],
    contexts: [{ name: 'here', context: { cluster: 'fake', user: 'admin' } }],
  };
  await writeFile(file, JSON.stringify(content));
  return file;
}

describe('ambit manifest generate', () => {
  test('prints what installing applies', async () => {
    const { status, output } = await run(['manifest', 'generate', '--set', 'strict=true']);
    assert.equal(status, 0);
    const printed = parseAllDocuments(output).map((document) => document.toJS() as unknown);
    assert.deepEqual(printed, JSON.parse(JSON.stringify(installation(siteWith({ strict: true })))));
  });

  test('refuses values that there are not', async () => {
    assert.equal((await run(['manifest', 'generate', '--set', 'x.y=1'])).status, 2);
    assert.equal((await run(['manifest', 'generate', '--namespace', 'A_b'])).status, 2);
  });
});

describe('ambit profile', () => {
  test('lists the profiles', async () => {
    assert.equal((await run(['profile', 'list'])).output, 'default\ndemo\nminimal\n');
  });

  test('dumps values that can be read back', async (context) => {
    const { output } = await run(['profile', 'dump', 'demo']);
    const file = join(await temporaryFolder(context), 'values.yaml');
    await writeFile(file, output);
    const again = await run(['manifest', 'generate', '--values', file]);
    assert.equal(again.output, (await run(['manifest', 'generate', '--profile', 'demo'])).output);
    assert.equal((parse(output) as { agent: { logLevel: string } }).agent.logLevel, 'debug');
  });
});

describe('ambit install', () => {
  test('reaches the cluster of a kubeconfig with its token', async (context) => {
    const { server, applier } = await startInstallFixture(context);
    const file = await kubeconfig(context, server.url);
    const { status, output } = await run(['install', '--kubeconfig', file]);
    assert.equal(status, 0);
    assert.match(output, /created {4}DaemonSet istio-system\/ztunnel/);
    assert.notEqual(applier.get(paths.agents), null);
    assert.ok(server.requests.every(({ authorization }) => authorization === 'Bearer secret'));
  });

  test('takes the credentials that a program hands out', async (context) => {
    const { server } = await startInstallFixture(context);
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'handed-out' },
    };
    const file = await kubeconfig(context, server.url, {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: 'echo',
        args: [JSON.stringify(credential)],
        interactiveMode: 'Never',
      },
    });
    assert.equal((await run(['version'], { KUBECONFIG: file })).status, 0);
    assert.ok(server.requests.length > 0);
    assert.ok(server.requests.every(({ authorization }) => authorization === 'Bearer handed-out'));
  });

  test('keeps what a proxy of many clusters wants before each path', async (context) => {
    const { server } = await startInstallFixture(context);
    const file = await kubeconfig(context, `${server.url}/clusters/one`);
    await run(['version', '--kubeconfig', file]);
    assert.ok(server.requests.length > 0);
    assert.ok(server.requests.every(({ path }) => path.startsWith('/clusters/one/api')));
  });

  test('says what is wrong with a kubeconfig', async (context) => {
    const file = await kubeconfig(context, 'https://127.0.0.1:1');
    assert.equal((await run(['install', '--kubeconfig', '/nonexistent'])).status, 2);
    assert.equal((await run(['install', '--kubeconfig', file, '--context', 'there'])).status, 2);
  });

  test('verifies afterwards, and fails for what does not run', async (context) => {
    const { server, applier } = await startInstallFixture(context);
    const file = await kubeconfig(context, server.url);
    assert.equal((await run(['install', '--kubeconfig', file])).status, 0);
    const { status, output } = await run(['verify-install', '--kubeconfig', file]);
    assert.equal(status, 1);
    assert.match(output, /error {6}Deployment istio-system\/istiod: 0 of 1 pods/);
    assert.notEqual(applier.get(paths.control), null);
  });
});

describe('ambit uninstall', () => {
  test('does not purge unasked', async (context) => {
    const { server } = await startInstallFixture(context);
    const file = await kubeconfig(context, server.url);
    assert.equal((await run(['uninstall', '--purge', '--kubeconfig', file])).status, 2);
    assert.deepEqual(server.requests, []);
  });
});

describe('ambit version', () => {
  test('asks no cluster where only its own is wanted', async (context) => {
    const { server } = await startInstallFixture(context);
    const file = await kubeconfig(context, server.url);
    const { output } = await run(['version', '--client', '--kubeconfig', file]);
    assert.match(output, /^ambit 1\.2\.3 \(node [\d.]+\)\n$/);
    assert.deepEqual(server.requests, []);
  });
});

test('agents and control planes never load the library of kubeconfigs', async () => {
  const hook = `export const resolve = (name, context, next) => {
    if (name.startsWith('@kubernetes/')) throw new Error('loaded ' + name);
    return next(name, context);
  };`;
  const program = pathToFileURL(`${root}dist/src/cli/program.js`).href;
  const script = `
    import { register } from 'node:module';
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});
    await import('reflect-metadata');
    await import(${JSON.stringify(program)});
    await import('@kubernetes/client-node').then(() => console.log('no hook'), (error) => console.log(error.message));
  `;
  const { stdout } = await exec([process.execPath, '--input-type=module', '--eval', script], { timeout: 30_000 });
  assert.equal(stdout, 'loaded @kubernetes/client-node\n');
});
