import fc from 'fast-check';
import stringWidth from 'string-width';
import {describe, expect, test} from 'vitest';
import {cells, fitCells, printable, take} from '../../src/model/printable.ts';

const anyText = fc.string({unit: fc.integer({min: 0, max: 0x10ffff}).map(code => String.fromCodePoint(code))});

describe('printable', () => {
  test.each([
    ['plain text stays', 'plain text stays'],
    ['\x1b[31mred', '\\x1b[31mred'],
    ['line\nline\ttab\r', 'line\\nline\\ttab\\r'],
    ['\x00\x07\x7f', '\\x00\\x07\\x7f'],
    ['\x9b31m\x9d', '\\x9b31m\\x9d'],
    ['a\u202egpj.exe', 'a\\u{202e}gpj.exe'],
    ['\u2066\u200b\u200d\ufeff', '\\u{2066}\\u{200b}\\u{200d}\\u{feff}'],
    ['\u2028\u2029', '\\u{2028}\\u{2029}'],
    ['\ud800x\udc00', '\\u{d800}x\\u{dc00}'],
    ['\ue000\u{f0000}', '\\u{e000}\\u{f0000}'],
    ['\u0301e\u0301', '\\u{301}e\u0301'],
    ['日本語 é ß', '日本語 é ß'],
    ['back\\slash', 'back\\slash'],
    ['\ufffd', '\ufffd'],
  ])('%j → %j', (given, shown) => expect(printable(given)).toBe(shown));

  test('never lets through what steers or hides', () => {
    fc.assert(fc.property(anyText, text => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/u.test(printable(text))));
  });

  test('is its own fixed point', () => {
    fc.assert(fc.property(anyText, text => printable(printable(text)) === printable(text)));
  });
});

describe('cells', () => {
  test.each([
    ['abcdef', 4, 'abc…'],
    ['abcd', 4, 'abcd'],
    ['日本語', 5, '日本…'],
    ['日本語', 4, '日…'],
    ['abc', 0, ''],
  ])('%s in %d cells is %s', (text, width, shown) => expect(fitCells(text, width)).toBe(shown));

  test('a cut is never wider than asked for, and widths are those of Ink', () => {
    fc.assert(
      fc.property(anyText.map(printable), fc.integer({min: 0, max: 30}), (text, width) => {
        expect(stringWidth(fitCells(text, width))).toBeLessThanOrEqual(width);
        expect(stringWidth(take(text, width))).toBeLessThanOrEqual(width);
        expect(cells(text)).toBe(stringWidth(text));
      }),
    );
  });
});
