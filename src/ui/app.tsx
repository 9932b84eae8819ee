// Knows how a frame is placed on the screen by Ink: panes at their cells, one text a row.

import {Box, Text, useCursor} from 'ink';
import {memo} from 'react';
import type {PaneFrame, ScreenFrame} from './frame.ts';

const Row = memo(function Row({text}: {readonly text: string}) {
  return <Text wrap="truncate-end">{text}</Text>;
});

const numbered = (rows: readonly string[]) => rows.map((text, row) => ({text, key: row}));

const Pane = memo(function Pane({pane}: {readonly pane: PaneFrame}) {
  const {x, y, width, height} = pane.rect;
  return (
    <Box position="absolute" left={x} top={y} width={width} height={height} flexDirection="column">
      <Row text={pane.top} />
      <Box height={height - 2}>
        <Text>{pane.side}</Text>
        <Box flexDirection="column" width={width - 2}>
          {numbered(pane.rows).map(({text, key}) => (
            <Row key={key} text={text} />
          ))}
        </Box>
        <Text>{pane.side}</Text>
      </Box>
      <Row text={pane.bottom} />
    </Box>
  );
});

export function App({frame}: {readonly frame: ScreenFrame}) {
  const {setCursorPosition} = useCursor();
  setCursorPosition(frame.cursor === null ? undefined : {x: frame.cursor.x, y: frame.cursor.y});
  return (
    <Box width={frame.columns} height={frame.rows} flexDirection="column" justifyContent="space-between">
      <Row text={frame.status} />
      {frame.panes.map(pane => (
        <Pane key={pane.name} pane={pane} />
      ))}
      <Row text={frame.footer} />
    </Box>
  );
}
