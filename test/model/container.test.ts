import {describe, expect, it} from 'vitest';
import {containerName, nameByCgroup} from '../../src/model/container.ts';

const HEX = '0123456789abcdef'.repeat(4);

describe('a cgroup path', () => {
  it.each([
    [`/docker/${HEX}`, 'docker', HEX],
    [`/system.slice/docker-${HEX}.scope`, 'docker', HEX],
    [`/system.slice/docker-${HEX}.scope/docker/${'f'.repeat(64)}/init`, 'docker', 'f'.repeat(64)],
    [`/machine.slice/libpod-${HEX}.scope/container`, 'podman', HEX],
    [`/kubepods.slice/kubepods-pod1.slice/cri-containerd-${HEX}.scope`, 'containerd', HEX],
    [`/kubepods.slice/kubepods-pod1.slice/crio-${HEX}.scope`, 'cri-o', HEX],
    [`/kubepods/burstable/pod01234567-89ab-cdef-0123-456789abcdef/${HEX}`, 'kubernetes', HEX],
    ['/lxc/web', 'lxc', 'web'],
    ['/lxc.payload.web/system.slice/cron.service', 'lxc', 'web'],
    ['/machine.slice/machine-my\\x2dbox.scope/payload', 'systemd-nspawn', 'my-box'],
    ['/machine.slice/systemd-nspawn@box.service/payload/init.scope', 'systemd-nspawn', 'box'],
    [
      '/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.gnome.Maps-4711.scope',
      'flatpak',
      'org.gnome.Maps-4711',
      'org.gnome.Maps',
    ],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.firefox-1a2b.scope', 'snap', 'firefox'],
    ['/system.slice/snap.lxd.daemon.service', 'snap', 'lxd'],
  ])('%s', (path, runtime, id, name?: string) => {
    expect(nameByCgroup(path)).toEqual({runtime, id, ...(name === undefined ? {} : {name})});
  });

  it.each([
    ['/'],
    ['/system.slice/docker.service'],
    ['/system.slice/containerd.service'],
    ['/docker'],
    [`/docker/${HEX.slice(1)}`],
    [`/machine.slice/libpod-conmon-${HEX}.scope`],
    ['/lxc.monitor.web'],
    ['/machine.slice/systemd-nspawn@box.service/supervisor'],
    ['/user.slice/user-1000.slice/session-2.scope'],
  ])('%s names none: what minds a container is not in it', path => {
    expect(nameByCgroup(path)).toBeNull();
  });
});

it('a name that a stranger made up is printable', () => {
  const container = {key: '', runtime: 'docker', id: HEX, evidence: [], missing: null} as const;
  expect(containerName({...container, name: '\x1b]0;owned\x07'})).toBe('docker \\x1b]0;owned\\x07');
  expect(containerName({...container, name: null})).toBe('docker 0123456789ab');
});
