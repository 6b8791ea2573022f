import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { runLogProgram } from "../../src/cli/log/log-program.ts";
import { Output } from "../../src/cli/log/output.ts";
import { halt, haltReason } from "../../src/log/halt.ts";
import { Ledger } from "../../src/log/ledger.ts";
import { encodeVerifierKey } from "../../src/log/signed-note.ts";
import { EXIT, Fault, type Refusal } from "../../src/outcome.ts";
import { at, DAY, faultCode, freshDirectory, freshLedger, HOUR, reopen, sign, tamper } from "./fixture.ts";
import { copyOf, filledState, newWitness, signMore } from "./restore/fixture.ts";

/** Runs `signer-log verify`; what it says of the log: `sound`, or the Fault. */
async function verify(directory: string, ...args: readonly string[]): Promise<string> {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  const context = {
    output: new Output(stream, { columns: undefined, colour: false }),
    complain: ({ code }: Refusal) => EXIT[code],
    now: at(DAY),
    onProgress: undefined,
  };
  try {
    const status = await runLogProgram(["--state", directory, "verify", ...args], context);
    return status === 0 ? "sound" : String(status);
  } catch (error) {
    if (error instanceof Fault) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe("the mark that stops signing", () => {
  test("refuses every opening of the ledger, and says when and why", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    halt(directory, "the log was rolled back", at(HOUR));
    expect(haltReason(directory)).toBe("2026-11-23T13:00:00.000Z the log was rolled back");
    expect(() => Ledger.open(directory)).toThrow(
      /signing was stopped at 2026-11-23T13:00:00.000Z the log was rolled back; .* signer-log\(1\)$/,
    );
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
  });

  test("stops what was under way as well: nothing is logged from then on", async () => {
    const { ledger, directory } = freshLedger();
    halt(directory, "the log was rolled back", at(HOUR));
    expect(await faultCode(() => sign(ledger, at(DAY)))).toBe("log-broken");
    rmSync(join(directory, "halted"));
    expect((await sign(ledger, at(DAY))).entry.seq).toBe(1);
  });

  test("goes when an administrator removes the file, and not before", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    halt(directory, "x", at(HOUR));
    expect(await verify(directory)).toBe("sound");
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    rmSync(join(directory, "halted"));
    expect(await faultCode(() => reopen(directory))).toBe("no fault");
  });

  test("keeps its first reason", () => {
    const { directory } = freshLedger();
    halt(directory, "first", at(HOUR));
    halt(directory, "second", at(DAY));
    expect(haltReason(directory)).toBe("2026-11-23T13:00:00.000Z first");
  });

  test("stops also where it is empty, long, or full of what a terminal obeys", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    for (const bytes of ["", "x".repeat(100_000), "\u001b]0;x\u0007\n\r"]) {
      writeFileSync(join(directory, "halted"), bytes);
      expect(() => Ledger.open(directory)).toThrow(/^[\x20-\x7e]{1,3000}$/);
      expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    }
  });
});

describe("signer-log verify on the signing host", () => {
  test("stops signing where it finds the log broken, and says so", async () => {
    const directory = await filledState();
    tamper(directory, "UPDATE entries SET line = replace(line, 'monthly', 'montbly') WHERE seq = 4");
    const found = "entry 4: the entry is not the one in the tree: it, or a node above it, was changed";
    expect(await verify(directory)).toBe(
      `log-broken: ${found}; signing is stopped: see "When the log is broken" in signer-log(1)`,
    );
    expect(haltReason(directory)).toBe(`${at(DAY).toISOString()} by signer-log verify: ${found}`);
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
  });

  test("stops nothing where the log is sound, whatever it was asked", async () => {
    const directory = await filledState();
    const stranger = encodeVerifierKey(freshLedger().ledger.verifier);
    const { key: witness } = newWitness();
    expect(await verify(directory)).toBe("sound");
    for (const args of [
      ["--key", stranger],
      ["--witness", encodeVerifierKey(witness)],
      ["--checkpoint", join(directory, "log.key")],
    ])
      expect(await verify(directory, ...args), args[0]).not.toBe("sound");
    expect(haltReason(directory)).toBeUndefined();
  });

  test("takes a checkpoint that the log's own key signed for evidence", async () => {
    const directory = await filledState();
    const yesterday = join(freshDirectory(), "state");
    cpSync(directory, yesterday, { recursive: true });
    await signMore(directory, 1);
    const ledger = reopen(directory);
    const kept = join(freshDirectory(), "checkpoint");
    writeFileSync(kept, ledger.checkpoint());
    expect(await verify(yesterday, "--checkpoint", kept)).toMatch(/its end was removed; signing is stopped/);
    expect(haltReason(yesterday)).toBeDefined();
  });

  test("stops signing also where the right key is given, and where a witness is asked for too", async () => {
    for (const args of [["--key"], ["--witness"]] as const) {
      const directory = await filledState();
      const key = args[0] === "--key" ? reopen(directory).verifier : newWitness().key;
      tamper(directory, "UPDATE entries SET line = replace(line, 'monthly', 'montbly') WHERE seq = 4");
      expect(await verify(directory, args[0], encodeVerifierKey(key))).toContain("signing is stopped");
    }
  });
});

test("on a log host a copy that is broken gets no mark: nothing is signed there", async () => {
  const copy = copyOf(await filledState());
  tamper(copy, "UPDATE entries SET line = replace(line, 'monthly', 'montbly') WHERE seq = 4");
  expect(await verify(copy)).toMatch(/^log-broken: entry 4: [^;]*$/);
  expect(haltReason(copy)).toBeUndefined();
});

test("an interrupted restore refuses like a mark, and names the command that completes it", async () => {
  const directory = await filledState();
  mkdirSync(join(directory, "replacing"));
  expect(() => Ledger.open(directory)).toThrow(/signer-log restore completes it$/);
  expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
});

test("what a client is told of a broken log says what to do next, or which command says more", async () => {
  const next = /signer-log verify|signer-log\(1\)|signer-log restore|backup/;
  const broken: readonly ((directory: string) => void)[] = [
    (directory) => tamper(directory, "UPDATE nodes SET hash = zeroblob(32) WHERE position = 6"),
    (directory) => tamper(directory, "DELETE FROM entries WHERE seq = 6"),
    (directory) => tamper(directory, "DELETE FROM entries; DELETE FROM nodes"),
    (directory) => tamper(directory, "DELETE FROM head"),
    (directory) => tamper(directory, "PRAGMA user_version = 99"),
    (directory) => tamper(directory, "PRAGMA application_id = 1"),
    (directory) => writeFileSync(join(directory, "log.db"), "no database"),
    (directory) => writeFileSync(join(directory, "log.key"), "no key"),
    (directory) => cpSync(join(freshLedger().directory, "log.key"), join(directory, "log.key")),
    (directory) => rmSync(join(directory, "log.key")),
    (directory) => halt(directory, "x", at(0)),
  ];
  for (const [i, breakIt] of broken.entries()) {
    const directory = await filledState();
    breakIt(directory);
    expect(() => Ledger.open(directory), `case ${i}`).toThrow(next);
  }
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  tamper(directory, "DELETE FROM entries WHERE seq = 1; DELETE FROM nodes WHERE position > 0");
  await expect(sign(ledger, at(2))).rejects.toThrow(next);
});
