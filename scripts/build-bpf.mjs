// For maintainers: compiles native/follow.bpf.c with clang into native/follow_program.h, so that users need no clang. Prints it to stdout
// with `--print` (the test compares). The header says which clang made it: another one may choose other instructions.

import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const native = join(dirname(dirname(fileURLToPath(import.meta.url))), 'native');
const clang = process.env.CLANG ?? 'clang';

/** linux/types.h lies under the machine's own name on Debian. */
function includes() {
  try {
    const tuple = execFileSync('cc', ['-print-multiarch'], {encoding: 'utf8'}).trim();
    return tuple === '' ? [] : [`-I/usr/include/${tuple}`];
  } catch {
    return [];
  }
}

function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'nsview-bpf-'));
  try {
    const object = join(folder, 'follow.o');
    const flags = ['-O2', '-g0', '-target', 'bpf', '-mcpu=v2', '-ffreestanding', '-Wall', '-Wextra', '-Werror', ...includes()];
    execFileSync(clang, [...flags, '-c', 'follow.bpf.c', '-o', object], {cwd: native, stdio: ['ignore', 'inherit', 'inherit']});
    return readFileSync(object);
  } finally {
    rmSync(folder, {recursive: true});
  }
}

/** The sections and symbols of a little-endian ELF64 relocatable file (elf(5)). */
function parse(elf) {
  const text = (table, at) => table.subarray(at, table.indexOf(0, at)).toString();
  const at = Number(elf.readBigUInt64LE(0x28));
  const size = elf.readUInt16LE(0x3a);
  const sections = Array.from({length: elf.readUInt16LE(0x3c)}, (_, index) => {
    const header = elf.subarray(at + index * size, at + (index + 1) * size);
    const offset = Number(header.readBigUInt64LE(0x18));
    return {
      nameAt: header.readUInt32LE(0),
      type: header.readUInt32LE(4),
      link: header.readUInt32LE(0x28),
      info: header.readUInt32LE(0x2c),
      bytes: elf.subarray(offset, offset + Number(header.readBigUInt64LE(0x20))),
    };
  });
  const names = sections[elf.readUInt16LE(0x3e)].bytes;
  for (const section of sections) section.name = text(names, section.nameAt);
  const table = sections.find(section => section.type === 2);
  const symbols = [];
  for (let i = 0; i < table.bytes.length; i += 24) symbols.push(text(sections[table.link].bytes, table.bytes.readUInt32LE(i)));
  return {sections, symbols};
}

const {sections, symbols} = parse(compile());
const version = execFileSync(clang, ['--version'], {encoding: 'utf8'}).match(/version (\d+)/)?.[1] ?? '?';
const lines = [
  '/* SPDX-License-Identifier: MIT */',
  `/* Made by scripts/build-bpf.mjs from follow.bpf.c with clang ${version}: do not edit. */`,
  '#pragma once',
  '',
  '#include "bpf.h"',
];
const programs = [];
const maps = new Set();
for (const [index, section] of sections.entries()) {
  if (!section.name.startsWith('program/')) continue;
  const name = section.name.slice('program/'.length);
  const relocations = sections.find(candidate => candidate.type === 9 && candidate.info === index)?.bytes ?? Buffer.alloc(0);
  const references = [];
  for (let i = 0; i < relocations.length; i += 16) {
    const symbol = symbols[Number(relocations.readBigUInt64LE(i + 8) >> 32n)];
    if (symbol === '') throw new Error(`${name}: a relocation without a name`);
    maps.add(symbol);
    references.push(`{${Number(relocations.readBigUInt64LE(i)) / 8}, FOLLOW_MAP_${symbol}}`);
  }
  const words = [];
  for (let i = 0; i < section.bytes.length; i += 8) words.push(`0x${section.bytes.readBigUInt64LE(i).toString(16)}`);
  programs.push(name);
  lines.push('', `static const uint64_t follow_${name}_code[] = {`);
  for (let i = 0; i < words.length; i += 6) lines.push(`        ${words.slice(i, i + 6).join(', ')},`);
  lines.push('};', `static const struct bpf_reference follow_${name}_references[] = {`);
  for (let i = 0; i < references.length; i += 4) lines.push(`        ${references.slice(i, i + 4).join(', ')},`);
  lines.push('};');
}
lines.splice(
  5,
  0,
  '',
  'enum follow_map {',
  ...[...maps].toSorted((one, other) => (one < other ? -1 : 1)).map(name => `        FOLLOW_MAP_${name},`),
  '        FOLLOW_MAP_COUNT',
  '};',
);
lines.push('', '#define FOLLOW_PROGRAM(name)                                                                     \\');
lines.push('        {                                                                                        \\');
lines.push('                #name, follow_##name##_code, sizeof(follow_##name##_code) / 8, follow_##name##_references, \\');
lines.push('                        sizeof(follow_##name##_references) / sizeof(struct bpf_reference)        \\');
lines.push('        }');
lines.push('static const struct bpf_program follow_programs[] = {');
for (const name of programs) lines.push(`        FOLLOW_PROGRAM(${name}),`);
lines.push('};', '');

if (process.argv.includes('--print')) process.stdout.write(lines.join('\n'));
else writeFileSync(join(native, 'follow_program.h'), lines.join('\n'));
