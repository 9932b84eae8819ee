// The machine that the Vagrantfile describes, as far as can be seen without starting it.

import {spawnSync} from 'node:child_process';
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {temporaryFolder} from './support/nsview.ts';
import {ROOT} from './support/paths.ts';
import {patient} from './support/patience.ts';

const VAGRANTFILE = readFileSync(join(ROOT, 'Vagrantfile'), 'utf8');

/** `vagrant validate` with the provider's own rules; it writes beside the Vagrantfile and into its home, so both are elsewhere. */
function validate(text: string): {readonly status: number | null; readonly told: string} | 'not installed' {
  using folder = temporaryFolder();
  writeFileSync(folder.file('Vagrantfile'), text);
  // The scripts that it names have to be there.
  mkdirSync(folder.file('.ci'));
  writeFileSync(folder.file('.ci/packages'), readFileSync(join(ROOT, '.ci/packages')));
  const {status, stdout, stderr, error} = spawnSync('vagrant', ['validate'], {
    cwd: folder.path,
    env: {...process.env, VAGRANT_HOME: folder.file('home'), VAGRANT_DEFAULT_PROVIDER: 'libvirt'},
    encoding: 'utf8',
  });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') return 'not installed';
  if (error) throw error;
  return {status, told: stdout + stderr};
}

describe('the Vagrantfile', () => {
  it.for([
    ['is valid', VAGRANTFILE, 0, /^Vagrantfile validated successfully\.\n$/],
    ['is not with a setting that libvirt does not know', VAGRANTFILE.replaceAll('v.memory', 'v.memroy'), 1, /Libvirt Provider:\n.*memroy/],
  ] as const)('%s', {timeout: patient(60_000)}, ([, text, status, told], context) => {
    const answer = validate(text);
    if (answer === 'not installed') return context.skip('vagrant is not installed: .ci/packages installs it');
    expect(answer.told).toMatch(told);
    expect(answer.status).toBe(status);
  });
});
