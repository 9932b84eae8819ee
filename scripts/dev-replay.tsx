// Knows how to open the screen over a tape while working on it: node build of this file, then `dev-replay TAPE`.

import {readFileSync} from 'node:fs';
import type {Fact, TapeHeader} from '../src/model/fact.ts';
import {createState, reduce} from '../src/model/state.ts';
import {createStore} from '../src/store.ts';
import {runScreen} from '../src/ui/screen.tsx';

const [first = '{}', ...lines] = readFileSync(process.argv[2] ?? 'fixtures/tapes/shell-session.jsonl', 'utf8').trimEnd().split('\n');
const header = JSON.parse(first) as TapeHeader;
const tape = lines.map(line => JSON.parse(line) as Fact);
const store = createStore(createState({header, mode: 'replay', tape, utcOffset: -new Date().getTimezoneOffset()}), reduce);
const ending = await runScreen({store, perform: () => {}}).done;
if (ending.kind === 'failed') throw ending.error;
process.exit();
