/** Most lines of one kind of work within an hour: those of some batches of a thousand files. */
const MAX_LINES = 5_000;
const HOUR_MS = 3_600_000;

/**
 * Lines for the journal, as many as are of use: a server that announces without end, or a sender that connects without end, does not
 * push out what else the journal holds. What is left out is counted.
 * @param nowMs of a clock that does not jump
 */
export function boundedLines(
  write: (line: string) => void,
  nowMs: () => number = () => performance.now(),
): (line: string) => void {
  let beganMs = nowMs();
  let written = 0;
  let leftOut = 0;
  return (line) => {
    if (nowMs() - beganMs >= HOUR_MS) {
      if (leftOut > 0) write(`${leftOut} lines were left out`);
      [beganMs, written, leftOut] = [nowMs(), 0, 0];
    }
    if (written < MAX_LINES) {
      written += 1;
      write(line);
      return;
    }
    if (leftOut === 0) write(`${MAX_LINES} lines within an hour: until it is over further ones are left out`);
    leftOut += 1;
  };
}
