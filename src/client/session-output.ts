import { Fault } from "../outcome.ts";
import { MAX_STDERR_BYTES } from "./signing-host.ts";

/** What a host says in one session, within bounds. */
export class SessionOutput {
  readonly #maxBytes: number;
  readonly #stdout: Uint8Array[] = [];
  #stdoutBytes = 0;
  #stderr = Buffer.alloc(0);

  /** @param maxBytes most that stdout may hold */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes bytes of stdout in. Fault `host-unreachable` past the bound: no signing host says as much. */
  take(chunk: Uint8Array): void {
    this.#stdoutBytes += chunk.length;
    if (this.#stdoutBytes > this.#maxBytes)
      throw new Fault("host-unreachable", `the host answers with more than ${this.#maxBytes} bytes`);
    this.#stdout.push(chunk);
  }

  /** Takes bytes of stderr in, as long as there is room. */
  hear(chunk: Uint8Array): void {
    const room = MAX_STDERR_BYTES - this.#stderr.length;
    if (room > 0) this.#stderr = Buffer.concat([this.#stderr, chunk.subarray(0, room)]);
  }

  get output(): Uint8Array {
    return Buffer.concat(this.#stdout);
  }

  get stderr(): string {
    return this.#stderr.toString("latin1");
  }
}
