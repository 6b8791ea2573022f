import { Fault } from "../../outcome.ts";
import { MAX_MESSAGE_BYTES, type Message, parseMessage } from "./message.ts";

/**
 * Messages from a byte stream, one at a time, in bounded memory. A line that is too long or no message ends in a Fault
 * `remote-log-unavailable`; so does a last line without its newline. The end of the stream ends the generator.
 * Controlled by: the other side.
 */
export async function* readMessages(
  source: AsyncIterable<unknown>,
): AsyncGenerator<Message, void, undefined> {
  let rest = Buffer.alloc(0);
  for await (const chunk of source) {
    rest = rest.length === 0 ? Buffer.from(chunk as Uint8Array) : Buffer.concat([rest, chunk as Uint8Array]);
    for (;;) {
      const end = rest.indexOf(0x0a);
      if (end > MAX_MESSAGE_BYTES || (end < 0 && rest.length > MAX_MESSAGE_BYTES)) throw malformed();
      if (end < 0) break;
      const message = parseMessage(rest.toString("latin1", 0, end));
      if (message === undefined) throw malformed();
      rest = rest.subarray(end + 1);
      yield message;
    }
  }
  if (rest.length > 0) throw malformed();
}

function malformed(): Fault {
  return new Fault("remote-log-unavailable", "the other side does not speak the remote log's protocol");
}
