import type { Socket } from "node:net";
import { parseAddress } from "../../src/request/peer.ts";
import { encodeFrame, encodePieces, type Frame, FrameReader } from "../../src/service/frame.ts";
import { encodeRelayRequest, parseRelayOutcome } from "../../src/service/relay-message.ts";
import { connectTo } from "../support/signing-service.ts";

/** The frame of a request for `command`, from 127.0.0.1. */
export function requestFrame(command: string | undefined): Buffer {
  const address = parseAddress("127.0.0.1");
  return encodeFrame("request", encodeRelayRequest({ command, address, sshKey: undefined }));
}

/** What a service said on one connection, in order: `proceed`, `output`, and the outcome's code or `answered`; last `closed`. */
export interface Heard {
  readonly words: readonly string[];
  readonly output: Buffer;
}

/** A relay that says what a test wants it to. */
export class TestRelay {
  readonly socket: Socket;
  readonly #reader = new FrameReader("service");
  readonly #words: string[] = [];
  readonly #output: Buffer[] = [];
  readonly #closed: Promise<void>;
  #changed = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      for (const frame of this.#reader.push(chunk) ?? []) this.#hear(frame);
    });
    this.#closed = new Promise((resolve) => {
      socket.once("end", () => resolve());
      socket.once("close", () => resolve());
    });
  }

  static async connect(path: string): Promise<TestRelay> {
    return new TestRelay(await connectTo(path));
  }

  /** In one piece: what is said behind a request is there before the service can have answered it. */
  send(...bytes: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Resolves when the service has said that word, or is gone. */
  async until(word: string): Promise<void> {
    let isOver = false;
    void this.#closed.then(() => {
      isOver = true;
    });
    while (!this.#words.includes(word) && !isOver) await Promise.race([this.#changed.promise, this.#closed]);
  }

  /** All that it said until it ended the connection. */
  async heard(): Promise<Heard> {
    await this.#closed;
    this.socket.destroy();
    return { words: [...this.#words, "closed"], output: Buffer.concat(this.#output) };
  }

  #hear(frame: Frame): void {
    switch (frame.kind) {
      case "output":
        this.#output.push(frame.bytes);
        if (this.#words.at(-1) !== "output") this.#words.push("output");
        break;
      case "outcome": {
        const outcome = parseRelayOutcome(frame.payload);
        this.#words.push(outcome?.kind === "failed" ? outcome.code : (outcome?.kind ?? "no outcome"));
        break;
      }
      default:
        this.#words.push(frame.kind);
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** A whole request as an honest relay makes it. */
export async function ask(path: string, command: string | undefined, bytes: Uint8Array): Promise<Heard> {
  const relay = await TestRelay.connect(path);
  relay.send(requestFrame(command));
  await relay.until("proceed");
  relay.send(encodePieces("data", bytes), encodeFrame("end-of-data"));
  return await relay.heard();
}
