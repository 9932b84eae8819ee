// An esbuild plugin that has string-width make its grapheme segmenter and its sets of characters when it first needs them. Made when it is
// loaded, as it does, they took half of the time until `nsview --version` answered, and most commands never ask for a width beyond ASCII.

import {readFileSync} from 'node:fs';

const MADE_AT_ONCE = /^const (\w+) = (new Intl\.Segmenter\(\)|\/.+\/v);$/gm;

/** The source, with each of these constants as a function that makes it once. */
function lazily(source) {
  const names = [];
  const declared = source.replaceAll(MADE_AT_ONCE, (_, name, value) => {
    names.push(name);
    return `let made_${name};\nconst make_${name} = () => (made_${name} ??= ${value});`;
  });
  return {names, text: names.reduce((text, name) => text.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), `make_${name}()`), declared)};
}

export const lazyWidth = {
  name: 'lazy-width',
  setup: build =>
    build.onLoad({filter: /\/string-width\/index\.js$/}, ({path}) => {
      const {names, text} = lazily(readFileSync(path, 'utf8'));
      return names.length === 4
        ? {contents: text}
        : {errors: [{text: `${path} is another than lazy-width.mjs knows: ${names.join(', ')}`}]};
    }),
};
