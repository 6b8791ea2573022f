import { connect, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { Fault } from "../outcome.ts";
import { isBatchCommand } from "../request/request.ts";
import { encodeBrokenEnd } from "../transport/signature-archive.ts";
import { encodeFrame, encodePieces, type Frame, FrameReader, MAX_PIECE_BYTES } from "./frame.ts";
import {
  encodeRelayRequest,
  parseRelayOutcome,
  type RelayOutcome,
  type RelayRequest,
} from "./relay-message.ts";

/** Longest answer that is not a batch's: signature, keys or status. In bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** How long nothing may go to or fro before the service is given up, in ms; its own deadlines are shorter. */
const SILENCE_MS = 10 * 60_000;

/** The client's side: what sshd gave the relay, or what `signer pull` has in its place. */
export interface RelayStreams {
  /** The file. Where it fails, the service is not told that it has ended, and signs nothing. */
  readonly stdin: Readable;
  readonly stdout: Writable;
  /** Gives the service up; left out: only its silence does. */
  readonly signal?: AbortSignal;
}

/**
 * Passes a request to the signing service behind `socketPath`, and its answer back: a whole one, or nothing; a batch's
 * signatures as they come, with a broken end where the service is lost. Decides nothing, and keeps nothing.
 * @returns how it ended. `answered` is success
 * @throws Fault `service-unavailable`, `reply-not-delivered`
 */
export async function relay(
  socketPath: string,
  request: RelayRequest,
  streams: RelayStreams,
): Promise<RelayOutcome> {
  const isBatch = isBatchCommand(request.command);
  try {
    const service = new ServiceConnection(await open(socketPath));
    const giveUp = () => service.close();
    streams.signal?.addEventListener("abort", giveUp);
    try {
      if (streams.signal?.aborted) giveUp();
      return await converse(service, request, streams, isBatch);
    } finally {
      streams.signal?.removeEventListener("abort", giveUp);
      service.close();
    }
  } catch (error) {
    // The tar on the other side takes an archive that just ends for a whole one.
    if (isBatch && !(error instanceof Fault && error.code === "reply-not-delivered"))
      await write(streams.stdout, encodeBrokenEnd()).catch(() => undefined);
    throw error;
  } finally {
    streams.stdin.destroy();
  }
}

async function converse(
  service: ServiceConnection,
  request: RelayRequest,
  { stdin, stdout }: RelayStreams,
  isBatch: boolean,
): Promise<RelayOutcome> {
  const held: Buffer[] = [];
  let bytes = 0;
  service.send(encodeFrame("request", encodeRelayRequest(request)));
  for await (const frame of service.frames()) {
    switch (frame.kind) {
      case "proceed":
        void pump(stdin, service);
        break;
      case "output":
        bytes += frame.bytes.length;
        if (isBatch) await write(stdout, frame.bytes);
        else if (bytes <= MAX_ANSWER_BYTES) held.push(frame.bytes);
        else throw unavailable("it does not stop answering");
        break;
      case "outcome": {
        const outcome = parseRelayOutcome(frame.payload);
        if (outcome === undefined) throw unavailable("it does not speak the relay's protocol");
        if (outcome.kind === "failed") return outcome;
        if (bytes === 0) throw unavailable("it answered nothing");
        if (!isBatch) await write(stdout, Buffer.concat(held));
        return outcome;
      }
      default:
        throw unavailable("it does not speak the relay's protocol");
    }
  }
  throw unavailable("the connection to it was lost");
}

/** Sends what comes from the client until it ends, or the service has had enough. */
async function pump(stdin: Readable, service: ServiceConnection): Promise<void> {
  try {
    for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
      for (let at = 0; at < chunk.byteLength; at += MAX_PIECE_BYTES)
        await service.sent(encodePieces("data", chunk.subarray(at, at + MAX_PIECE_BYTES)));
      if (service.isClosed) return;
    }
    await service.sent(encodeFrame("end-of-data"));
  } catch {
    // A client, or a service, that is gone in the middle: the service says what that means, or is lost itself.
    if (stdin.errored) service.close();
  }
}

/** A socket to the service, as the relay uses it. */
class ServiceConnection {
  readonly #socket: Socket;
  readonly #silence: NodeJS.Timeout;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => undefined); // frames() has it
    this.#silence = setTimeout(() => this.close(), SILENCE_MS);
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  send(frame: Buffer): void {
    this.#socket.write(frame);
  }

  /** Resolves when the kernel has it; rejects where the connection is gone. */
  async sent(frame: Buffer): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(frame, (error) => (error ? reject(error) : resolve()));
    await promise;
    this.#silence.refresh();
  }

  /** What the service says, until it goes away. Fault `service-unavailable` where that is no protocol. */
  async *frames(): AsyncGenerator<Frame, void, undefined> {
    const reader = new FrameReader("service");
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        this.#silence.refresh();
        const frames = reader.push(chunk);
        if (frames === undefined) throw unavailable("it does not speak the relay's protocol");
        yield* frames;
      }
    } catch (cause) {
      throw cause instanceof Fault ? cause : unavailable("the connection to it was lost", cause);
    }
  }

  close(): void {
    clearTimeout(this.#silence);
    this.#socket.destroy();
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("connect", resolve);
  socket.once("error", reject);
  try {
    await promise;
    return socket;
  } catch (cause) {
    throw unavailable(whyNot(cause as NodeJS.ErrnoException), cause);
  }
}

function whyNot({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case "ENOENT":
      return "there is no socket of this client: is signer serve running?";
    case "ECONNREFUSED":
      return "nobody listens on this client's socket: is signer serve running?";
    case "EACCES":
    case "EPERM":
      return "this account may not use this client's socket";
    case "EAGAIN":
      return "too many connections wait for it";
    default:
      return `its socket cannot be used (${code ?? "unknown"})`;
  }
}

async function write(stdout: Writable, bytes: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stdout.once("error", reject);
  stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
  try {
    await promise;
  } catch (cause) {
    throw new Fault("reply-not-delivered", "the client is gone", { cause });
  } finally {
    stdout.off("error", reject);
    stdout.once("error", () => undefined);
  }
}

function unavailable(what: string, cause?: unknown): Fault {
  return new Fault("service-unavailable", `the signing service did not answer: ${what}`, { cause });
}
