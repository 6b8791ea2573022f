import { connect, type Socket } from "node:net";
import { noAnswer, wrongAnswer } from "../log/remote/remote-log-fault.ts";
import { type Fault, quoted } from "../outcome.ts";
import { readLine } from "./read-line.ts";
import {
  encodeSenderLine,
  type FailedMessage,
  MAX_LINE_BYTES,
  parseSenderLine,
  SENDER_VERSION,
  type SenderLine,
} from "./sender-message.ts";

/**
 * Asks the sender process for a remote log; resolves with the socket when that is connected, paused behind the answer. Faults
 * `remote-log-unavailable`. The sender is believed nothing: what comes over the socket is the other side's word, or the
 * sender's.
 * @param path of the sender's socket
 * @param name of the remote log, as both configurations have it
 * @param signal gives up when it aborts, until the socket is there; its reason MUST be a Fault
 */
export async function openThroughSender(path: string, name: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connect({ path, allowHalfOpen: true });
  let failure: Error | undefined;
  socket.on("error", (error) => {
    failure ??= error;
  });
  const giveUp = () => socket.destroy();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    socket.write(`${encodeSenderLine({ kind: "open", log: name, version: SENDER_VERSION })}\n`);
    const answer = await readSenderLine(socket);
    signal.throwIfAborted();
    if (answer?.kind === "opened") return socket;
    if (answer?.kind === "failed") throw senderFault(name, answer);
    if (failure !== undefined || socket.readableEnded)
      throw noAnswer(name, "the sender process cannot be reached", failure);
    throw notSender(name);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

/** The sender's next line; undefined for anything else. Controlled by: the sender. */
export async function readSenderLine(socket: Socket): Promise<SenderLine | undefined> {
  const line = await readLine(socket, MAX_LINE_BYTES);
  return line === undefined ? undefined : parseSenderLine(line);
}

/** What the sender says went wrong, as its words. */
export function senderFault(name: string, { code, reason }: FailedMessage): Fault {
  return noAnswer(name, `the sender process says ${code}, ${quoted(reason, 300)}`);
}

export function notSender(name: string): Fault {
  return wrongAnswer(name, "the sender process does not speak its protocol");
}
