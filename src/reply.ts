import type { Writable } from "node:stream";
import type { Receipt } from "./log/remote/remote-logs.ts";
import { Fault } from "./outcome.ts";

/**
 * Writes a signature, whole, to the client. It takes the receipt and not the bytes: what has no durable entry cannot be
 * sent. Fault `reply-not-delivered` where the client is gone.
 */
export async function reply(stdout: Writable, receipt: Receipt): Promise<void> {
  await write(stdout, receipt.signature);
}

/** Writes text, whole. Fault `reply-not-delivered` where the client is gone. */
export async function replyText(stdout: Writable, text: string): Promise<void> {
  await write(stdout, Buffer.from(text));
}

function write(stdout: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(new Fault("reply-not-delivered", "the client is gone", { cause }));
    stdout.once("error", fail);
    stdout.write(bytes, (error) => (error ? fail(error) : resolve()));
  });
}
