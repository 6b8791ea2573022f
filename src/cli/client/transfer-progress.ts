import { duration } from "../log/progress.ts";
import { humanSize } from "../log/table.ts";

/** Nothing is shown before: most files are signed sooner. */
const QUIET_MS = 1000;
const EVERY_MS = 200;
const BAR_CELLS = 20;

/**
 * Shows how much is sent, with rate and time left, on one line of a terminal. `clock` is in ms.
 * @returns what to call with each number of bytes, and what to call when it is over, which erases the line
 */
export function showTransfer(write: (text: string) => void, clock: () => number) {
  let begin = clock();
  let shownAt: number | undefined;
  let before = 0;
  return {
    onProgress: (sent: number, size: number | undefined): void => {
      const now = clock();
      if (sent < before) begin = now; // another attempt
      before = sent;
      const isOver = size !== undefined && sent >= size;
      if (now - begin < QUIET_MS || (!isOver && shownAt !== undefined && now - shownAt < EVERY_MS)) return;
      shownAt = now;
      // Carriage return, then erase to the end of the line (ECMA-48 §8.3.41).
      write(`\r${transferLine(sent, size, now - begin)}\u001b[K`);
    },
    end: (): void => {
      if (shownAt !== undefined) write("\r\u001b[K");
    },
  };
}

/** `[#####---------------]  25% 320.0 MiB of 1.3 GiB, 80.0 MiB/s, 12 s left`: less than 80 columns. */
export function transferLine(sent: number, size: number | undefined, elapsedMs: number): string {
  const perSecond = sent / Math.max(elapsedMs / 1000, 0.001);
  const rate = `${humanSize(Math.round(perSecond))}/s`;
  if (size === undefined) return `${humanSize(sent)} sent, ${rate}`;
  const share = size === 0 ? 1 : sent / size;
  const full = Math.floor(share * BAR_CELLS);
  const bar = `[${"#".repeat(full)}${"-".repeat(BAR_CELLS - full)}] ${String(Math.floor(share * 100)).padStart(3)}%`;
  if (sent >= size) return `${bar} ${humanSize(size)} sent, waiting for the signature`;
  return `${bar} ${humanSize(sent)} of ${humanSize(size)}, ${rate}, ${duration((size - sent) / perSecond)} left`;
}
