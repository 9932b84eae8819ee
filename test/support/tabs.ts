// Knows how to draw every tab of processes as another user would see them: by a program of its own, with that user's rights.

import {execFileSync} from 'node:child_process';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {ROOT} from './paths.ts';

/** Width → tab → its text; `enter` is the command that enters the process. */
export type Tabs = {readonly enter: readonly string[]; readonly widths: {readonly [width: string]: {readonly [tab: string]: string}}};

const PROGRAM = `
import {TABS, detailsOf, wantedDetails} from './src/model/details.ts';
import {lineText} from './src/model/line.ts';
import {createWorld, observe} from './src/model/world.ts';
import {readCgroups} from './src/probe/cgroup.ts';
import {lookAtAll, readOwnership} from './src/probe/ownership.ts';
import {readMountsFact} from './src/probe/mounts-fact.ts';
import {readSnapshot} from './src/probe/snapshot.ts';
import {parseFact, parseSnapshot} from './src/probe/schemas.ts';
import {readStudy} from './src/probe/study.ts';

const pids = process.argv.slice(2).map(Number);
const snapshot = readSnapshot({version: 'test'});
const valid = parseSnapshot(JSON.parse(JSON.stringify(snapshot)));
if (!valid.ok) throw new Error(valid.problem);
lookAtAll();
const at = '1';
const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host: snapshot.host, target: {machine: true}});
for (const seen of snapshot.processes) observe(world, {kind: 'process', at, because: 'watch', ...seen});
const told = {};
for (const pid of pids) {
  const shown = world.byPid.get(pid);
  if (shown === undefined) throw new Error(pid + ' is not there');
  const take = fact => {
    const parsed = parseFact(JSON.parse(JSON.stringify(fact)));
    if (!parsed.ok || parsed.value === null) throw new Error(JSON.stringify(parsed));
    observe(world, parsed.value);
  };
  const widths = {36: {}, 60: {}, 100: {}};
  for (const {tab} of TABS) {
    const {mounts, cgroups, studies} = wantedDetails(world, shown, tab);
    for (const {inode, pid: reader} of mounts) if (reader !== null) take(readMountsFact(inode, reader));
    for (const fact of readCgroups(cgroups)) take(fact);
    for (const study of studies) {
      const fact = readStudy(study);
      if (fact !== null) take(fact);
    }
    for (const width of Object.keys(widths)) {
      const {heading, count, line} = detailsOf(world, shown, tab, {width: Number(width), inodes: false, live: true});
      widths[width][tab] = [...heading, ...Array.from({length: count}, (_, index) => line(index))].map(lineText).join('\\n');
    }
  }
  const seen = readOwnership(pid);
  told[pid] = {enter: seen.enter ?? [], widths};
}
console.log(JSON.stringify(told));
process.exit(0);
`;

/** By pid. \`as\`: a command in front, such as setpriv with its options. Throws what the program throws. */
export function tabsAs(as: readonly string[], pids: readonly number[]): {readonly [pid: string]: Tabs} {
  const folder = join(ROOT, 'build', 'test');
  mkdirSync(folder, {recursive: true});
  const outfile = join(folder, `tabs-${process.pid}.mjs`);
  // Its own program, not its library: that leaves a process behind.
  const options = ['--bundle', '--platform=node', '--format=esm', '--packages=external', '--loader=ts', `--outfile=${outfile}`];
  execFileSync(join(ROOT, 'node_modules', '.bin', 'esbuild'), [...options, '--log-level=error'], {input: PROGRAM, cwd: ROOT});
  const [program = '', ...args] = [...as, process.execPath, outfile, ...pids.map(String)];
  return JSON.parse(execFileSync(program, args, {cwd: '/', maxBuffer: 1 << 26}).toString());
}
