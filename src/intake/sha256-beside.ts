import { createHash } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** Up to here hashing in place is quicker than starting a worker (some 15 ms). */
const WORKER_FROM_BYTES = 8 * 1024 * 1024;
/** Bytes that are handed over at once, and that may lie unhashed with the worker. */
const BATCH_BYTES = 1024 * 1024;
const MAX_BYTES_IN_FLIGHT = 16 * 1024 * 1024;

/** Plain JavaScript, so that it needs no file beside the bundle: batches in, their size back, the digest at the end. */
const WORKER_SOURCE = `
const { parentPort } = require("node:worker_threads");
const hash = require("node:crypto").createHash("sha256");
parentPort.on("message", (batch) => {
  if (batch === undefined) return parentPort.postMessage(hash.digest("hex"));
  let bytes = 0;
  for (const chunk of batch) { hash.update(chunk); bytes += chunk.byteLength; }
  parentPort.postMessage(bytes);
});
`;

/**
 * SHA-256 of a stream whose SHA-512 the caller's thread computes: in a thread of its own once the stream is long, so that
 * two digests take the time of one.
 */
export class Sha256Beside {
  #batch: Uint8Array<ArrayBuffer>[] = [];
  #batchBytes = 0;
  #worker: Worker | undefined;
  #bytesInFlight = 0;
  #digest: string | undefined;
  #failure: Error | undefined;

  /** Takes `chunk` over: the caller MUST NOT look at it afterwards. Resolves when more may come. */
  async update(chunk: Uint8Array): Promise<void> {
    const owned = ownBuffer(chunk);
    this.#batch.push(owned);
    this.#batchBytes += owned.byteLength;
    if (this.#worker === undefined && this.#batchBytes >= WORKER_FROM_BYTES) this.#start();
    if (this.#worker !== undefined && this.#batchBytes >= BATCH_BYTES) await this.#handOver(this.#worker);
  }

  /** Lower-case hex. Called once, at the end. */
  async digest(): Promise<string> {
    if (this.#worker === undefined) {
      const hash = createHash("sha256");
      for (const chunk of this.#batch) hash.update(chunk);
      return hash.digest("hex");
    }
    await this.#handOver(this.#worker);
    this.#worker.postMessage(undefined);
    while (this.#digest === undefined) await this.#workerSays(this.#worker);
    this.close();
    return this.#digest;
  }

  /** Ends the worker. Safe at any time, more than once. */
  close(): void {
    this.#worker?.removeAllListeners();
    void this.#worker?.terminate();
    this.#worker = undefined;
    this.#batch = [];
  }

  #start(): void {
    const worker = new Worker(WORKER_SOURCE, { eval: true, env: {}, execArgv: [] });
    worker.on("error", (error: Error) => {
      this.#failure = error;
    });
    worker.on("message", (answer: unknown) => {
      if (typeof answer === "number") this.#bytesInFlight -= answer;
      else this.#digest = String(answer);
    });
    worker.unref();
    this.#worker = worker;
  }

  async #handOver(worker: Worker): Promise<void> {
    worker.postMessage(
      this.#batch,
      this.#batch.map((chunk) => chunk.buffer),
    );
    this.#bytesInFlight += this.#batchBytes;
    this.#batch = [];
    this.#batchBytes = 0;
    while (this.#bytesInFlight > MAX_BYTES_IN_FLIGHT) await this.#workerSays(worker);
  }

  /** Waits for the next answer. Nothing else may keep the process alive meanwhile: the input has come to its end, perhaps. */
  async #workerSays(worker: Worker): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    worker.ref();
    await once(worker, "message");
    worker.unref();
  }
}

/** A view of a buffer that holds nothing else, and can change threads: the chunk itself, or a copy of one in a shared pool. */
function ownBuffer(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = chunk;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength;
  return isWhole ? new Uint8Array(buffer) : new Uint8Array(chunk);
}
