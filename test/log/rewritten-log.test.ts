import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { findSubject } from "../../src/cli/log/subject.ts";
import { openAcknowledgement } from "../../src/log/acknowledgements.ts";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { cosign } from "../../src/log/cosignature.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { at, DAY, faultCode, freshDirectory, HOUR, reopen, sign, verdict } from "./fixture.ts";
import { filledState, newWitness, WITNESS } from "./restore/fixture.ts";

/**
 * Signing host and log host in league, or both captured: they hold every key, and write another history from entry 7 on that
 * both sign. What is left is what was shown to others before.
 */
let rewritten = "";
/** What others have: a signature of the old history, and a checkpoint of it. */
let published = "";
let kept = "";

beforeEach(async () => {
  const old = await filledState();
  rewritten = join(freshDirectory(), "state");
  cpSync(old, rewritten, { recursive: true });
  const before = reopen(old);
  const { signature } = await sign(before, at(HOUR), { content: "what was signed" });
  published = join(freshDirectory(), "core.db.tar.gz.sig");
  writeFileSync(published, signature);
  kept = before.checkpoint();
  const after = reopen(rewritten);
  for (let i = 0; i < 3; i++) await sign(after, at(DAY), { content: `another history ${i}` });
  const acknowledgement = openAcknowledgement(
    cosign(after.checkpoint(), WITNESS, at(DAY)),
    after.verifier,
    WITNESS.key,
  );
  if (acknowledgement !== undefined) await after.acknowledge(acknowledgement);
});

function verify(witnesses = [WITNESS.key]) {
  const reader = LogReader.open(rewritten);
  try {
    return verifyLog(reader, { verifier: reader.statedVerifier(), witnesses });
  } finally {
    reader.close();
  }
}

describe("a history that host and log host wrote anew together", () => {
  test("is sound in itself, and cosigned: nothing in it gives it away", () => {
    expect(verify().kind).toBe("sound");
  });

  test("has no entry for a signature that was published before", async () => {
    const reader = LogReader.open(rewritten);
    expect(await faultCode(() => findSubject(reader, published))).toBe("log-broken");
    reader.close();
  });

  test("does not continue a checkpoint that anybody else kept", () => {
    const { verifier } = reopen(rewritten);
    const checkpoint = openCheckpoint(kept, verifier);
    if (checkpoint === undefined) throw new Error("it is the log's own");
    expect(verdict(rewritten, { checkpoint })).toBe(
      "-: the first 8 entries are not the ones that the given checkpoint was made of",
    );
  });

  test("lacks the cosignature of a second witness, who is not with them", () => {
    const { key: other } = newWitness("other.example.org");
    expect(verify([WITNESS.key, other])).toMatchObject({ acknowledgements: [{ witness: WITNESS.key }] });
  });
});
