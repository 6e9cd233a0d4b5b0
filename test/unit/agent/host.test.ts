import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { cgroupRoot, ensureBpffs } from '../../../src/agent/host.ts';
import type { Host } from '../../../src/agent/host.ts';
import { findCgroupRoot, mountAt, parseMountInfo } from '../../../src/agent/mounts.ts';
import type { Mount } from '../../../src/agent/mounts.ts';
import { errorCode } from '../../../src/config/errors.ts';
import { silentLogger } from '../../support/loggers.ts';

const bpffs: Mount = { device: '0:40', root: '/', point: '/sys/fs/bpf', type: 'bpf' };

interface HostParts {
  readonly ownNamespace?: boolean;
  readonly self?: readonly Mount[];
  readonly init?: readonly Mount[];
  readonly mountFails?: boolean;
}

function newHost(parts: HostParts): { readonly host: Host; readonly mounted: string[] } {
  const mounted: string[] = [];
  const host: Host = {
    mounts: (of) => Promise.resolve((of === 'self' ? parts.self : parts.init) ?? []),
    mountNamespace: (of) => Promise.resolve(of === 'self' && parts.ownNamespace === true ? 'mnt:[2]' : 'mnt:[1]'),
    mountBpffs: (point) => {
      if (parts.mountFails === true) return Promise.reject(new Error('EPERM'));
      mounted.push(point);
      return Promise.resolve();
    },
  };
  return { host, mounted };
}

const hasCode = (code: string) => (error: unknown) => errorCode(error) === code;

suite('mounts', () => {
  const text = [
    '25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw',
    '26 25 0:27 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate',
    '27 25 0:40 / /mnt/with\\040blank rw - bpf bpf rw,mode=700',
    'not a line',
  ].join('\n');

  test('are read from mountinfo, with and without optional fields', () => {
    assert.deepEqual(
      parseMountInfo(text).map(({ point, type }) => `${type} ${point}`),
      ['sysfs /sys', 'cgroup2 /sys/fs/cgroup/unified', 'bpf /mnt/with blank'],
    );
  });

  test('the last one at a point is the visible one', () => {
    const covering = { ...bpffs, type: 'tmpfs' };
    assert.equal(mountAt([bpffs, covering], '/sys/fs/bpf'), covering);
  });

  test('the cgroup2 root is found where it is usual, then anywhere, and never a part of the tree', () => {
    const cgroup = (point: string, root = '/'): Mount => ({ device: '0:27', root, point, type: 'cgroup2' });
    assert.equal(findCgroupRoot([cgroup('/elsewhere'), cgroup('/sys/fs/cgroup')]), '/sys/fs/cgroup');
    assert.equal(findCgroupRoot([cgroup('/elsewhere')]), '/elsewhere');
    assert.equal(findCgroupRoot([cgroup('/sys/fs/cgroup', '/pods')]), null);
  });
});

suite('the bpffs', () => {
  test('is taken as it is in the machine’s own mount namespace', async () => {
    const { host, mounted } = newHost({ self: [bpffs] });
    await ensureBpffs(host, '/sys/fs/bpf', silentLogger);
    assert.deepEqual(mounted, []);
  });

  test('is mounted where it is missing', async () => {
    const { host, mounted } = newHost({});
    await ensureBpffs(host, '/sys/fs/bpf', silentLogger);
    assert.deepEqual(mounted, ['/sys/fs/bpf']);
  });

  test('that would vanish with the agent is refused, with the way out', async () => {
    for (const self of [[], [bpffs]]) {
      const { host, mounted } = newHost({ ownNamespace: true, self });
      await assert.rejects(ensureBpffs(host, '/sys/fs/bpf', silentLogger), /nsenter --net/);
      assert.deepEqual(mounted, []);
    }
  });

  test('of the node, seen from a container, is good', async () => {
    const inContainer = { ...bpffs, point: '/host/bpf' };
    const { host } = newHost({ ownNamespace: true, self: [inContainer], init: [bpffs] });
    await ensureBpffs(host, '/host/bpf', silentLogger);
  });

  test('that cannot be mounted is an error of its own', async () => {
    const { host } = newHost({ mountFails: true });
    await assert.rejects(ensureBpffs(host, '/sys/fs/bpf', silentLogger), hasCode('BPFFS_UNUSABLE'));
  });
});

suite('the cgroup root', () => {
  test('that is set is taken', async () => {
    assert.equal(await cgroupRoot(newHost({}).host, '/my/cgroup'), '/my/cgroup');
  });

  test('that is nowhere is an error', async () => {
    await assert.rejects(cgroupRoot(newHost({}).host, null), hasCode('CGROUP_MISSING'));
  });
});
