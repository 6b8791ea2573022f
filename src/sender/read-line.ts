import type { Readable } from "node:stream";

/**
 * The next line of a stream without its newline, as latin1; undefined where the stream ends, or breaks, or the line has more
 * than `maxBytes`. What comes behind it stays in the stream, which is left paused. Waits as long as the line takes: who must not
 * wait destroys the stream.
 */
export function readLine(stream: Readable, maxBytes: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let line = Buffer.alloc(0);
    const done = (result: string | undefined): void => {
      stream.removeListener("readable", read);
      for (const end of ["end", "error", "close"]) stream.removeListener(end, ended);
      resolve(result);
    };
    const ended = () => done(undefined);
    const read = (): void => {
      for (let chunk: Buffer | null = stream.read(); chunk !== null; chunk = stream.read()) {
        const end = chunk.indexOf(0x0a);
        line = Buffer.concat([line, end < 0 ? chunk : chunk.subarray(0, end)]);
        const isTooLong = line.length > maxBytes;
        if (end < 0 && !isTooLong) continue;
        done(isTooLong ? undefined : line.toString("latin1"));
        const rest = chunk.subarray(end + 1);
        if (rest.length > 0) stream.unshift(rest);
        return;
      }
    };
    stream.on("readable", read);
    for (const end of ["end", "error", "close"]) stream.on(end, ended);
    if (stream.destroyed || stream.readableEnded) ended();
  });
}
