import type { Writable } from "node:stream";
import type { Answer } from "./accept.ts";
import type { SignedFile } from "./batch.ts";
import type { Receipt } from "./log/remote/remote-logs.ts";
import { Fault, isRefusal, type Refusal } from "./outcome.ts";
import { SignatureArchive } from "./transport/signature-archive.ts";

/**
 * Writes an answer, whole, and returns the refusal where it is one, or a batch's last word.
 * @param maxWaitMs how long the client may leave something unread; undefined: as long as it likes
 * @throws Fault `reply-not-delivered` where the client is gone, and what the files of a batch throw
 */
export async function deliver(
  stdout: Writable,
  answer: Answer,
  maxWaitMs: number | undefined,
): Promise<Refusal | undefined> {
  switch (answer.kind) {
    case "refusal":
      return answer;
    case "text":
      await write(stdout, Buffer.from(answer.text), maxWaitMs);
      return undefined;
    case "signature":
      await reply(stdout, answer.receipt, maxWaitMs);
      return undefined;
    case "batch":
      return await replyBatch(stdout, answer.files, maxWaitMs);
  }
}

/**
 * Writes a signature, whole, to the client. It takes the receipt and not the bytes: what has no durable entry cannot be
 * sent. Fault `reply-not-delivered` where the client is gone.
 */
export async function reply(stdout: Writable, receipt: Receipt, maxWaitMs?: number): Promise<void> {
  await write(stdout, receipt.signature, maxWaitMs);
}

/**
 * Writes a batch's signatures, each as soon as it is made and before the next is asked for; the archive ends properly after
 * the last one. On a refusal, which is returned, and on anything thrown it ends so that every tar fails over it.
 * @throws Fault `reply-not-delivered` where the client is gone, and what `files` throws
 */
export async function replyBatch(
  stdout: Writable,
  files: AsyncIterable<SignedFile | Refusal>,
  maxWaitMs: number | undefined,
): Promise<Refusal | undefined> {
  const archive = new SignatureArchive((bytes) => write(stdout, bytes, maxWaitMs));
  try {
    for await (const file of files) {
      if (isRefusal(file)) {
        await archive.break();
        return file;
      }
      await archive.add(file.name, file.receipt);
    }
    await archive.end();
    return undefined;
  } catch (error) {
    if (error instanceof Fault && error.code === "reply-not-delivered") stdout.destroy();
    else await archive.break().catch(() => stdout.destroy()); // what went wrong first is what counts
    throw error;
  }
}

async function write(stdout: Writable, bytes: Uint8Array, maxWaitMs?: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (cause: unknown) => reject(new Fault("reply-not-delivered", "the client is gone", { cause }));
  const timer =
    maxWaitMs === undefined
      ? undefined
      : setTimeout(() => fail(new Error(`nothing was read for ${maxWaitMs} ms`)), maxWaitMs);
  stdout.once("error", fail);
  stdout.write(bytes, (error) => (error ? fail(error) : resolve()));
  try {
    await promise;
    stdout.off("error", fail);
  } finally {
    clearTimeout(timer);
  }
}
