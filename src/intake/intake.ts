import type { Readable } from "node:stream";
import type { ArtefactFacts, Recogniser } from "../artefact/artefact.ts";
import type { MessageHash } from "../keys/signing-key.ts";
import { isRefusal, type Refusal, refusal } from "../outcome.ts";
import { encodeDuration, encodeSize } from "../policy/quantity.ts";
import { Sha256Beside } from "./sha256-beside.ts";

/** What arrived, whole: size in bytes and digests in lower-case hex. */
export interface Received {
  readonly size: number;
  readonly sha256: string;
  readonly sha512: string;
}

/** A recognised artefact. Its bytes are gone: what is left is what they were and the hash that can be signed. */
export interface Artefact {
  readonly kind: "artefact";
  readonly received: Received;
  readonly facts: ArtefactFacts;
  /** Has seen the very bytes that were recognised. */
  readonly message: MessageHash;
}

/** Bytes that are not signed; `received` only where they were read to the end. */
export interface Rejected {
  readonly kind: "rejected";
  readonly refusal: Refusal;
  readonly received: Received | undefined;
}

export interface IntakeBounds {
  readonly maxBytes: number;
  /** Longest wait for a byte. */
  readonly idleMs: number;
  /** Longest time from now to the last byte. */
  readonly totalMs: number;
}

class TimedOut extends Error {}

/**
 * Reads an artefact once: each chunk is recognised and hashed before the next is asked for, nothing is kept.
 * The stream is destroyed at the first refusal and at a deadline.
 */
export async function receive(
  source: Readable,
  recogniser: Recogniser,
  message: MessageHash,
  bounds: IntakeBounds,
): Promise<Artefact | Rejected> {
  const sha256 = new Sha256Beside();
  const watchdog = startWatchdog(source, bounds);
  let size = 0;
  try {
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      watchdog.refresh();
      size += chunk.byteLength;
      if (size > bounds.maxBytes) return rejected(tooLarge(bounds.maxBytes));
      // Hashed while the recogniser's decompressor works in a thread of its own.
      const recognised = recogniser.push(chunk);
      message.update(chunk);
      const [problem] = await Promise.all([recognised, sha256.update(chunk)]);
      if (problem !== undefined) return rejected(problem);
    }
    watchdog.stop();
    const facts = await recogniser.finish();
    const received = { size, sha256: await sha256.digest(), sha512: message.sha512().digest("hex") };
    if (isRefusal(facts)) return { kind: "rejected", refusal: facts, received };
    return { kind: "artefact", received, facts, message };
  } catch (error) {
    if (!(error instanceof TimedOut)) throw error;
    return rejected(refusal("timed-out", error.message));
  } finally {
    watchdog.stop();
    recogniser.close();
    sha256.close();
  }
}

function rejected(problem: Refusal): Rejected {
  return { kind: "rejected", refusal: problem, received: undefined };
}

function tooLarge(maxBytes: number): Refusal {
  return refusal("too-large", `expected at most ${encodeSize(maxBytes)}`);
}

function startWatchdog(source: Readable, bounds: IntakeBounds): { refresh(): void; stop(): void } {
  const end = (message: string) => () => source.destroy(new TimedOut(message));
  const idle = setTimeout(end(`not one byte came for ${encodeDuration(bounds.idleMs)}`), bounds.idleMs);
  const total = setTimeout(
    end(`the file did not arrive within ${encodeDuration(bounds.totalMs)}`),
    bounds.totalMs,
  );
  return {
    refresh: () => idle.refresh(),
    stop: () => {
      clearTimeout(idle);
      clearTimeout(total);
    },
  };
}
