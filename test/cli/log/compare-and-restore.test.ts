import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { runLogProgram } from "../../../src/cli/log/log-program.ts";
import { Output } from "../../../src/cli/log/output.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { EXIT, Fault, type Refusal } from "../../../src/outcome.ts";
import { at, DAY, freshDirectory, freshLedger, linesOf, tamper } from "../../log/fixture.ts";
import { copyOf, filledState, newWitness, signMore, WITNESS } from "../../log/restore/fixture.ts";
import { configText } from "../../support/signing-host.ts";

/** Runs a command line in this process: what it printed, its exit status or the Fault, and why it refused. */
async function signerLog(...args: readonly string[]) {
  let text = "";
  let refused = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const context = {
    output: new Output(stream, { columns: undefined, colour: false }),
    complain: ({ code, reason }: Refusal) => {
      refused = reason;
      return EXIT[code];
    },
    now: at(DAY),
    onProgress: undefined,
  };
  const status = await runLogProgram(args, context).catch((error: unknown) => {
    if (error instanceof Fault) return `${error.code}: ${error.message}`;
    throw error;
  });
  return { status, text, refused };
}

describe("compare", () => {
  const compare = (log: string, copy: string, ...more: readonly string[]) =>
    signerLog("--state", log, "compare", "--copy", copy, ...more);

  test("is well where both are the same, and where the copy is merely behind", async () => {
    const log = await filledState();
    const copy = copyOf(log);
    expect(await compare(log, copy)).toMatchObject({
      status: 0,
      text: expect.stringMatching(/^verdict +the same$/m),
    });
    await signMore(log, 1);
    const behind = await compare(log, copy);
    expect(behind.status).toBe(0);
    expect(behind.text).toMatch(
      /^verdict +the copy is 1 entry short, and the beginning of the log\nsigner-log push /m,
    );
  });

  test("is log-broken where the log is behind, and names restore", async () => {
    const log = await filledState();
    const copy = copyOf(log);
    await signMore(log, 2);
    const { status, text } = await compare(copy, log);
    expect(status).toMatch(
      /^log-broken: the log lacks the last 2 entries of the copy in .*signer-log restore/,
    );
    expect(text).toMatch(/^verdict +the log is 2 entries short/m);
  });

  test("is log-broken where they part: both lines, and what differs, fit for a terminal", async () => {
    const log = await filledState();
    const copy = copyOf(log);
    tamper(log, "UPDATE entries SET line = replace(line, 'monthly', char(27) || '[31m') WHERE seq = 4");
    const { status, text } = await compare(log, copy);
    expect(status).toMatch(/^log-broken: entry 4 of the log is another one .*"When the log is broken"/);
    expect(text).toContain("entry 4 is the first that differs");
    expect(text).toContain('"rule":"\\x1b[31m-iso"');
    expect(text).toContain('"rule":"monthly-iso"');
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
  });

  test("says all of it in JSON, too", async () => {
    const log = await filledState();
    const copy = copyOf(log);
    tamper(log, "UPDATE entries SET line = replace(line, 'monthly', 'montbly') WHERE seq = 4");
    const { text } = await compare(log, copy, "--json");
    const lines = [log, copy].map((directory) => linesOf(directory)[4]);
    expect(JSON.parse(text)).toEqual({
      verdict: "contradiction",
      log: { size: 7 },
      copy: { size: 7, what: `the copy in ${copy}` },
      common: 4,
      difference: { seq: 4, log: lines[0], copy: lines[1], members: ["rule"] },
    });
    tamper(log, "DELETE FROM entries WHERE seq = 3");
    expect(JSON.parse((await compare(log, copy, "--json")).text).difference.log).toBeNull();
  });

  test("refuses a copy of another log, and two things to compare with", async () => {
    const { directory } = freshLedger();
    const log = await filledState();
    expect(await compare(log, directory)).toMatchObject({
      status: 64,
      refused: expect.stringContaining("another log"),
    });
    expect((await compare(log, log, "loghost")).status).toBe(64);
  });
});

describe("restore", () => {
  /** A host whose configuration names no log host. */
  async function host() {
    const stateDirectory = await filledState();
    const configFile = join(freshDirectory(), "signer.toml");
    writeFileSync(configFile, configText({ stateDirectory, keyFile: "/nonexistent" }));
    const restore = (...args: readonly string[]) => signerLog("--config", configFile, "restore", ...args);
    return { stateDirectory, restore };
  }

  test("restores from a folder, and says what it did", async () => {
    const { stateDirectory, restore } = await host();
    const copy = copyOf(stateDirectory);
    tamper(stateDirectory, "DELETE FROM entries WHERE seq = 3");
    const { status, text } = await restore("--copy", copy, "--witness", encodeVerifierKey(WITNESS.key));
    expect(status).toBe(0);
    expect(text).toMatch(/^entries +7, of which 4 signatures$/m);
    expect(text).toMatch(/^replaced +a broken log of 7 entries: entry 3: the entry is missing/m);
    expect(text).toMatch(/^logged as +entry 7$/m);
    expect(text).toContain("counters of refusals without entries start empty");
  });

  test.each([
    ["nothing to restore from", []],
    ["two places to restore from", ["--from", "loghost", "--copy", "/mnt"]],
    ["a log host that the configuration does not name", ["--from", "loghost"]],
    ["a copy, and nobody who cosigned it", ["--copy", "/mnt"]],
    ["a witness beside a log host", ["--from", "loghost", "--witness", "x"]],
    ["a witness that is no key", ["--copy", "/mnt", "--witness", "x"]],
    ["no number of entries", ["--copy", "/mnt", "--discard-unacknowledged", "all"]],
    ["an argument too many", ["loghost"]],
  ])("refuses %s", async (_what, args) => {
    const { restore } = await host();
    expect((await restore(...args)).status).toBe(64);
  });

  test("refuses a log that no configuration names, and a copy that others cosigned", async () => {
    const { stateDirectory, restore } = await host();
    const copy = copyOf(stateDirectory);
    for (const where of [
      ["--state", stateDirectory],
      ["--log", "repo"],
    ])
      expect((await signerLog(...where, "restore", "--copy", copy)).status).toBe(64);
    const other = encodeVerifierKey(newWitness().key);
    tamper(stateDirectory, "DELETE FROM entries WHERE seq = 3");
    expect((await restore("--copy", copy, "--witness", other)).status).toMatch(
      /^log-broken: nothing is restored: no trusted witness/,
    );
  });
});
