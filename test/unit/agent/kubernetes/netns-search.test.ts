import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { HostProcesses } from '../../../../src/agent/kubernetes/host-processes.ts';
import { addressesOfFibTrie, addressesOfIfInet6 } from '../../../../src/agent/kubernetes/namespace-addresses.ts';
import { NetnsSearch } from '../../../../src/agent/kubernetes/netns-search.ts';
import type { Finding } from '../../../../src/agent/kubernetes/netns-search.ts';
import { FakeProc, podCgroup } from '../../../support/fake-proc.ts';

const uid = '0b3f5f2e-4a43-4d9c-9d43-2f1de1d4a001';
const sandbox = 'a'.repeat(64);
const application = 'b'.repeat(64);
const addresses = ['10.1.0.5'];

async function search(proc: FakeProc, wanted: readonly string[] = addresses): Promise<Finding> {
  const found = await new NetnsSearch(new HostProcesses(proc.folder, proc.nodeNetns)).search([
    { uid, addresses: wanted },
  ]);
  const finding = found.get(uid);
  assert.ok(finding);
  return finding;
}

async function inodeOf(finding: Finding): Promise<number | string> {
  if (finding.kind !== 'found') return finding.kind;
  await finding.netns.close();
  return Number(finding.netns.identity.inode);
}

suite('the search for network namespaces of running pods', () => {
  test('finds that of the oldest process, and the sandbox by it', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 30, netns: 'entered', cgroup: podCgroup(uid, application), startTime: 90, addresses });
    proc.add({ pid: 40, netns: 'own', cgroup: podCgroup(uid, sandbox), startTime: 50, addresses });
    const finding = await search(proc);
    assert.equal(finding.kind === 'found' && finding.container, sandbox);
    assert.equal(await inodeOf(finding), proc.identity('own').inode);
  });

  test('refuses a namespace without one of the pod’s addresses', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 40, netns: 'foreign', cgroup: podCgroup(uid, sandbox), addresses: ['10.1.0.9'] });
    const finding = await search(proc);
    assert.equal(finding.kind === 'refused' && finding.reason, 'address');
  });

  test('a foreign process that cannot be looked at hides nobody', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 30, netns: null, cgroup: '0::/init.scope\n' });
    proc.add({ pid: 40, netns: 'own', cgroup: podCgroup(uid, sandbox), addresses });
    assert.equal(await inodeOf(await search(proc)), proc.identity('own').inode);
  });

  test('refuses a pod whose oldest process cannot be looked at', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 30, netns: null, cgroup: podCgroup(uid, sandbox), startTime: 30 });
    proc.add({ pid: 40, netns: 'entered', cgroup: podCgroup(uid, application), startTime: 40, addresses });
    const finding = await search(proc);
    assert.equal(finding.kind === 'refused' && finding.reason, 'unreadable');
  });

  test('a process in the namespace of the node is not the pod', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 40, netns: 'node', cgroup: podCgroup(uid, sandbox), addresses });
    assert.equal((await search(proc)).kind, 'absent');
  });

  test('a process of another pod in the pod’s namespace is not the pod', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 40, netns: 'own', cgroup: podCgroup(uid.replace('0b3f', 'ffff'), sandbox), addresses });
    assert.equal((await search(proc)).kind, 'absent');
  });

  test('a pod whose addresses nobody knows is not looked at', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.add({ pid: 40, netns: 'own', cgroup: podCgroup(uid, sandbox), addresses });
    assert.equal((await search(proc, [])).kind, 'absent');
  });

  test('says what is missing where the node’s processes cannot be seen', async (context: TestContext) => {
    const proc = new FakeProc(context);
    proc.remove(1);
    await assert.rejects(search(proc), { code: 'HOST_PROC_UNREADABLE' });
  });

  test('a machine’s own tables name its loopback addresses', async () => {
    const own = new HostProcesses('/proc', '/proc/self/ns/net');
    const process_ = { podUid: uid, container: '', pid: process.pid, startTime: 0n, netns: await own.nodeNetns() };
    assert.ok((await own.addresses(process_)).has('127.0.0.1'));
  });

  test('addresses are those of hosts, in canonical text', () => {
    const trie =
      '  |-- 10.1.0.0\n     /24 link UNICAST\n  |-- 10.1.0.5\n     /32 host LOCAL\n  |-- 10.1.0.255\n     /32 link BROADCAST\n';
    assert.deepEqual(addressesOfFibTrie(trie), ['10.1.0.5']);
    const inet6 = 'fd7700000000000100000000000000a0 02 40 00 80     eth0\n';
    assert.deepEqual(addressesOfIfInet6(inet6), ['fd77:0:0:1::a0']);
  });
});
