/** How far a long command is: one line of a terminal, written over again and again. */

/**
 * What commands call now and then with how many of how many entries are done, the same number twice when all of it is. `last`
 * says what is still to do after all entries were read.
 */
export type OnProgress = (done: number, size: number, last?: string) => void;

/** Shows progress with the pace so far; `clock` is in ms. A count that begins again, a second pass, has a pace of its own. */
export function showProgress(write: (text: string) => void, clock: () => number): OnProgress {
  let begin = clock();
  let before = 0;
  return (done, size, last) => {
    if (done < before) begin = clock();
    before = done;
    const finished = done >= size && last === undefined;
    // Carriage return, then erase to the end of the line (ECMA-48 §8.3.41).
    write(finished ? "\r\u001b[K" : `\r${progressLine(done, size, clock() - begin, last)}\u001b[K`);
  };
}

/** `120000 of 1000000 entries, 15000 a second, 59 s left`. Less than 80 columns for as many entries as there can be. */
export function progressLine(done: number, size: number, elapsedMs: number, last?: string): string {
  const read = `${done} of ${size} entries`;
  if (done >= size) return last === undefined ? read : `${read}; ${last}`;
  const perSecond = done / Math.max(elapsedMs / 1000, 0.001);
  if (done === 0) return read;
  return `${read}, ${Math.round(perSecond)} a second, ${duration((size - done) / perSecond)} left`;
}

/** A time as people read it: `59 s`, `12 min`, `2 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
