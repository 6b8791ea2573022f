import type { Readable } from "node:stream";

/** Heads of HTTP/1.1 messages (RFC 9112), read strictly: for who speaks it only until something else is spoken. */

export interface HttpHead {
  /** The request line, or the status line. */
  readonly start: string;
  /** By their names in lower case; of one that stands twice, the values with `, ` between (RFC 9110 §5.2). */
  readonly fields: ReadonlyMap<string, string>;
}

const END = "\r\n\r\n";
/** RFC 9110 §5.6.2, §5.5; no folding. */
const FIELD =
  /^(?<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?<value>(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/;

/**
 * A head's text without the empty line at its end, as latin1; undefined where the stream ends, or breaks, before, or there are more
 * than `maxBytes`. What comes behind it stays in the stream, which is left paused. Waits as long as it takes: who must not wait
 * destroys the stream.
 */
export function readHead(stream: Readable, maxBytes: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let head = Buffer.alloc(0);
    const done = (result: string | undefined): void => {
      stream.removeListener("readable", read);
      for (const end of ["end", "error", "close"]) stream.removeListener(end, ended);
      resolve(result);
    };
    const ended = () => done(undefined);
    const read = (): void => {
      for (let chunk: Buffer | null = stream.read(); chunk !== null; chunk = stream.read()) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(END);
        if (end > maxBytes || (end < 0 && head.length > maxBytes)) {
          done(undefined);
          return;
        }
        if (end < 0) continue;
        done(head.toString("latin1", 0, end));
        const rest = head.subarray(end + END.length);
        if (rest.length > 0) stream.unshift(rest);
        return;
      }
    };
    stream.on("readable", read);
    for (const end of ["end", "error", "close"]) stream.on(end, ended);
    if (stream.destroyed || stream.readableEnded) ended();
  });
}

/** Reads a head's text; undefined for one that RFC 9112 does not allow, or only for old senders. Controlled by: the other side. */
export function parseHead(text: string): HttpHead | undefined {
  const [start = "", ...lines] = text.split("\r\n");
  if (!/^[\x20-\x7e]+$/.test(start)) return undefined;
  const fields = new Map<string, string>();
  for (const line of lines) {
    const { name, value } = FIELD.exec(line)?.groups ?? {};
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    const before = fields.get(key);
    fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return { start, fields };
}
