// Knows how a frame is placed on the screen by Ink: one text a row, and boxes over them.

import {Box, Text, useCursor} from 'ink';
import {memo} from 'react';
import type {PaneFrame, ScreenFrame} from './frame.ts';

const Row = memo(function Row({text}: {readonly text: string}) {
  return <Text wrap="truncate-end">{text}</Text>;
});

const numbered = (rows: readonly string[]) => rows.map((text, row) => ({text, key: row}));

const Overlay = memo(function Overlay({pane}: {readonly pane: PaneFrame}) {
  const {x, y, width, height} = pane.rect;
  return (
    <Box position="absolute" left={x} top={y} width={width} height={height} flexDirection="column">
      {numbered(linesOf(pane)).map(({text, key}) => (
        <Row key={key} text={text} />
      ))}
    </Box>
  );
});

/** A pane's rows with its border, each exactly as wide as it is. */
const linesOf = ({top, bottom, rows, side}: PaneFrame): readonly string[] => [top, ...rows.map(row => side + row + side), bottom];

const isOverlay = ({name}: PaneFrame): boolean => name === 'help' || name === 'event' || name === 'question' || name === 'note';

/**
 * The rows of the screen from panes that lie side by side. Ink lays out and compares each text by itself: one a row is half the work of one
 * a row of each pane.
 */
function rowsOf({rows: height, status, footer, panes}: ScreenFrame): readonly string[] {
  const texts = Array<string>(height).fill('');
  const ends = Array<number>(height).fill(0);
  for (const pane of panes.toSorted((one, other) => one.rect.x - other.rect.x)) {
    if (isOverlay(pane)) continue;
    const {x, y, width} = pane.rect;
    for (const [index, line] of linesOf(pane).entries()) {
      const row = y + index;
      texts[row] += ' '.repeat(Math.max(0, x - (ends[row] ?? 0))) + line;
      ends[row] = x + width;
    }
  }
  texts[0] = status;
  texts[height - 1] = footer;
  return texts;
}

export function App({frame}: {readonly frame: ScreenFrame}) {
  const {setCursorPosition} = useCursor();
  setCursorPosition(frame.cursor === null ? undefined : {x: frame.cursor.x, y: frame.cursor.y});
  return (
    <Box width={frame.columns} height={frame.rows} flexDirection="column">
      {numbered(rowsOf(frame)).map(({text, key}) => (
        <Box key={key} height={1}>
          <Row text={text} />
        </Box>
      ))}
      {frame.panes.filter(isOverlay).map(pane => (
        <Overlay key={pane.name} pane={pane} />
      ))}
    </Box>
  );
}
