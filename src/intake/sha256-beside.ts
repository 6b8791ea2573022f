import { createHash } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** What changes threads at a time, and how many of them there are: all the memory that a stream of any length takes here. */
const SLAB_BYTES = 1024 * 1024;
/** So many are filled before a worker is worth its start, some 15 ms. */
const SLABS = 4;

/** Plain JavaScript, so that it needs no file beside the bundle: slabs in, and back for the next bytes; the digest at the end. */
const WORKER_SOURCE = `
const { parentPort } = require("node:worker_threads");
const hash = require("node:crypto").createHash("sha256");
parentPort.on("message", ({ slab, bytes }) => {
  if (slab === undefined) return parentPort.postMessage(hash.digest("hex"));
  hash.update(new Uint8Array(slab, 0, bytes));
  parentPort.postMessage(slab, [slab]);
});
`;

/** Slabs that nobody uses, for who comes next: a service that made a new one for each request spent its time on collecting them. */
const idle: ArrayBuffer[] = [];
const MAX_IDLE = 8;

function takeSlab(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(idle.pop() ?? new ArrayBuffer(SLAB_BYTES));
}

function giveBack(slabs: readonly ArrayBuffer[]): void {
  for (const slab of slabs) if (idle.length < MAX_IDLE && slab.byteLength === SLAB_BYTES) idle.push(slab);
}

/** Bytes that wait for a thread, from the start of the slab. */
interface Filled {
  readonly slab: ArrayBuffer;
  readonly bytes: number;
}

/**
 * SHA-256 of a stream whose SHA-512 the caller's thread computes: in a thread of its own once the stream is long, so that
 * two digests take the time of one. The bytes are copied into a few slabs that go back and forth: buffers that change
 * threads once, and wait for two garbage collectors, took 100 MB more.
 */
export class Sha256Beside {
  #slab = takeSlab();
  #slabBytes = 0;
  /** Until there is a worker. */
  #filled: Filled[] = [];
  #free: ArrayBuffer[] = [];
  #worker: Worker | undefined;
  #digest: string | undefined;
  #failure: Error | undefined;

  /** Takes in a copy of `chunk`. Resolves when more may come. */
  async update(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; ) {
      const taken = chunk.subarray(at, at + SLAB_BYTES - this.#slabBytes);
      this.#slab.set(taken, this.#slabBytes);
      this.#slabBytes += taken.byteLength;
      at += taken.byteLength;
      if (this.#slabBytes === SLAB_BYTES) await this.#nextSlab();
    }
  }

  /** Lower-case hex. Called once, at the end. */
  async digest(): Promise<string> {
    const last = { slab: this.#slab.buffer, bytes: this.#slabBytes };
    if (this.#worker === undefined) {
      const hash = createHash("sha256");
      for (const { slab, bytes } of [...this.#filled, last]) hash.update(new Uint8Array(slab, 0, bytes));
      return hash.digest("hex");
    }
    handOver(this.#worker, last);
    this.#worker.postMessage({});
    while (this.#digest === undefined) await this.#workerSays(this.#worker);
    this.close();
    return this.#digest;
  }

  /** Ends the worker. Safe at any time, more than once. */
  close(): void {
    this.#worker?.removeAllListeners("message"); // not "error": one that nobody hears would end the process
    void this.#worker?.terminate();
    this.#worker = undefined;
    giveBack([this.#slab.buffer, ...this.#filled.map(({ slab }) => slab), ...this.#free]);
    this.#slab = new Uint8Array(0);
    this.#filled = [];
    this.#free = [];
  }

  async #nextSlab(): Promise<void> {
    const full = { slab: this.#slab.buffer, bytes: SLAB_BYTES };
    if (this.#worker !== undefined) handOver(this.#worker, full);
    else if (this.#filled.push(full) === SLABS) this.#worker = this.#start();
    this.#slabBytes = 0;
    if (this.#worker === undefined) {
      this.#slab = takeSlab();
      return;
    }
    while (this.#free.length === 0) await this.#workerSays(this.#worker);
    this.#slab = new Uint8Array(this.#free.pop() as ArrayBuffer);
  }

  #start(): Worker {
    const worker = new Worker(WORKER_SOURCE, { eval: true, env: {}, execArgv: [] });
    worker.on("error", (error: Error) => {
      this.#failure = error;
    });
    worker.on("message", (answer: ArrayBuffer | string) => {
      if (typeof answer === "string") this.#digest = answer;
      else this.#free.push(answer);
    });
    worker.unref();
    for (const filled of this.#filled) handOver(worker, filled);
    this.#filled = [];
    return worker;
  }

  /** Waits for the next answer. Nothing else may keep the process alive meanwhile: the input has come to its end, perhaps. */
  async #workerSays(worker: Worker): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    worker.ref();
    await once(worker, "message");
    worker.unref();
  }
}

function handOver(worker: Worker, filled: Filled): void {
  worker.postMessage(filled, [filled.slab]);
}
