// Knows the kinds of namespace that Linux has: one row each, from which every list of them is drawn.

/**
 * One kind of namespace. `flag` and `value` are those of clone(2); `link` is its file in /proc/PID/ns
 * (proc_pid_ns(5)); `childrenLink` is the file that tells where the children will be born, for the two kinds
 * whose unshare(2) and setns(2) move future children and not the caller.
 */
export type NamespaceKind = {
  readonly type: string;
  readonly link: string;
  readonly childrenLink?: string;
  readonly flag: string;
  readonly value: number;
  /** True where namespaces of this kind form a hierarchy (ioctl NS_GET_PARENT answers). */
  readonly nests: boolean;
  readonly isolates: string;
};

export const NAMESPACES = [
  {
    type: 'user',
    link: 'user',
    flag: 'CLONE_NEWUSER',
    value: 0x10000000,
    nests: true,
    isolates: 'user and group ids, capabilities, keyrings',
  },
  {type: 'mnt', link: 'mnt', flag: 'CLONE_NEWNS', value: 0x00020000, nests: false, isolates: 'the mount table'},
  {
    type: 'pid',
    link: 'pid',
    childrenLink: 'pid_for_children',
    flag: 'CLONE_NEWPID',
    value: 0x20000000,
    nests: true,
    isolates: 'process ids',
  },
  {
    type: 'net',
    link: 'net',
    flag: 'CLONE_NEWNET',
    value: 0x40000000,
    nests: false,
    isolates: 'network devices, addresses, routes, ports, abstract sockets',
  },
  {type: 'uts', link: 'uts', flag: 'CLONE_NEWUTS', value: 0x04000000, nests: false, isolates: 'host name and domain name'},
  {type: 'ipc', link: 'ipc', flag: 'CLONE_NEWIPC', value: 0x08000000, nests: false, isolates: 'System V IPC and POSIX message queues'},
  {type: 'cgroup', link: 'cgroup', flag: 'CLONE_NEWCGROUP', value: 0x02000000, nests: false, isolates: 'the root of the cgroup view'},
  {
    type: 'time',
    link: 'time',
    childrenLink: 'time_for_children',
    flag: 'CLONE_NEWTIME',
    value: 0x00000080,
    nests: false,
    isolates: 'the monotonic and boot-time clocks',
  },
] as const satisfies readonly NamespaceKind[];

export type NamespaceType = (typeof NAMESPACES)[number]['type'];

/** The ten files of /proc/PID/ns, in the order of native/nsview.h (NSV_LINKS). */
export const NAMESPACE_LINKS = [
  'user',
  'mnt',
  'pid',
  'pid_for_children',
  'net',
  'uts',
  'ipc',
  'cgroup',
  'time',
  'time_for_children',
] as const;

export type NamespaceLink = (typeof NAMESPACE_LINKS)[number];

/** The kind of namespace that a link of /proc/PID/ns leads to: `pid_for_children` leads to a `pid` namespace. */
export function typeOfLink(link: NamespaceLink): NamespaceType {
  switch (link) {
    case 'pid_for_children':
      return 'pid';
    case 'time_for_children':
      return 'time';
    default:
      return link;
  }
}

/** PROC_USER_INIT_INO (include/linux/proc_ns.h): the inode of the first user namespace. The capabilities that are held there hold everywhere. */
export const INITIAL_USER = '4026531837';
