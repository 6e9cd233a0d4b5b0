import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parsePodCgroup } from '../../../../src/agent/kubernetes/pod-cgroup.ts';

const podUid = '0b3f5f2e-4a43-4d9c-9d43-2f1de1d4a001';
const under = podUid.replaceAll('-', '_');
const container = 'c'.repeat(64);

suite('the pod of a cgroup', () => {
  const forms: Readonly<Record<string, string>> = {
    'version 2, systemd, containerd': `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${under}.slice/cri-containerd-${container}.scope`,
    'version 2, systemd, guaranteed': `0::/kubepods.slice/kubepods-pod${under}.slice/cri-containerd-${container}.scope`,
    'version 2, cgroupfs': `0::/kubepods/besteffort/pod${podUid}/${container}`,
    'version 2, cri-o, with a folder below': `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${under}.slice/crio-${container}.scope/container`,
    'cri-o under cgroupfs': `0::/kubepods/burstable/pod${podUid}/crio-${container}`,
    docker: `0::/kubepods.slice/kubepods-pod${under}.slice/docker-${container}.scope`,
    'a runtime without a systemd driver': `0::/system.slice/containerd.service/kubepods-burstable-pod${under}.slice:cri-containerd:${container}`,
    kind: `0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${under}.slice/cri-containerd-${container}.scope`,
    'seen from another cgroup namespace': `0::/../../kubepods-burstable-pod${under}.slice/cri-containerd-${container}.scope`,
    'version 1': `12:memory:/kubepods/burstable/pod${podUid}/${container}\n1:name=systemd:/kubepods/burstable/pod${podUid}/${container}\n0::/`,
  };
  for (const [name, text] of Object.entries(forms)) {
    test(name, () => {
      assert.deepEqual(parsePodCgroup(`${text}\n`), { podUid, container });
    });
  }

  test('a folder that a pod has made below its own is no other pod', () => {
    const other = podUid.replace('0b3f', 'ffff');
    const text = `0::/kubepods/pod${podUid}/${container}/kubepods/pod${other}/${container}`;
    assert.equal(parsePodCgroup(text)?.podUid, podUid);
  });

  test('hierarchies that disagree are no pod', () => {
    const other = podUid.replace('0b3f', 'ffff');
    const text = `2:cpu:/kubepods/pod${podUid}/${container}\n1:memory:/kubepods/pod${other}/${container}`;
    assert.equal(parsePodCgroup(text), null);
  });

  for (const text of [
    '',
    '0::/',
    '0::/init.scope',
    `0::/kubepods/pod${podUid}`,
    '0::/system.slice/podman.service',
    '0::/pod1/x',
  ]) {
    test(`${JSON.stringify(text)} is no container of a pod`, () => {
      assert.equal(parsePodCgroup(text), null);
    });
  }
});
