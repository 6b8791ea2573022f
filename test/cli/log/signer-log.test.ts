import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { runLogProgram } from "../../../src/cli/log/log-program.ts";
import { Output } from "../../../src/cli/log/output.ts";
import { configuredFields } from "../../../src/log/configured.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { EXIT, Fault, type Refusal } from "../../../src/outcome.ts";
import {
  at,
  DAY,
  freshDirectory,
  freshLedger,
  HOUR,
  linesOf,
  refused,
  sign,
  tamper,
} from "../../log/fixture.ts";
import { run } from "../../support/run.ts";

/** Runs a command line in this process: what it printed, and its exit status or the code of its Fault. */
async function signerLog(
  args: readonly string[],
  look = { columns: undefined as number | undefined, colour: false },
) {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const context = {
    output: new Output(stream, look),
    complain: ({ code }: Refusal) => EXIT[code],
    now: at(DAY),
    onProgress: undefined,
  };
  const status = await runLogProgram(args, context).catch((error: unknown) => {
    if (error instanceof Fault) return `${error.code}: ${error.message}`;
    throw error;
  });
  return { status, text, lines: text.split("\n").slice(0, -1) };
}

async function sampleLog(): Promise<{ ledger: Ledger; directory: string; signature: Uint8Array }> {
  const made = freshLedger();
  const { ledger } = made;
  await ledger.transact(at(1), (tx) => tx.append(configuredFields(["one rule"])));
  const { signature } = await sign(ledger, at(HOUR), {
    content: "the bytes",
    extra: { private: { for: "alice", address: "192.0.2.10" } },
  });
  await sign(ledger, at(2 * HOUR), {
    type: "iso",
    name: "archlinux-2026.11.01-x86_64.iso",
    client: "releng",
  });
  await ledger.recordRefusal(at(3 * HOUR), refused({ name: "core.db.tar.gz", code: "trailing-data" }));
  return { ...made, signature };
}

describe("list", () => {
  test("prints a table of the newest entries, oldest first", async () => {
    const { directory } = await sampleLog();
    const { status, lines } = await signerLog(["--state", directory, "list"]);
    expect(status).toBe(0);
    expect(lines.map((line) => line.replace(/ +/g, " ").trim())).toEqual([
      "SEQ TIME (UTC) KIND CLIENT TYPE NAME SIZE SHA-256, OR WHY",
      "0 2026-11-23 12:00:00 started signer.example.org/repo",
      expect.stringMatching(/^1 2026-11-23 12:00:00 configured rules [0-9a-f]{12}$/),
      expect.stringMatching(/^2 2026-11-23 13:00:00 signed repos db core.db.tar.gz 9 B [0-9a-f]{12}$/),
      expect.stringMatching(
        /^3 2026-11-23 14:00:00 signed releng iso archlinux-2026.11.01-x86_64.iso 16 B [0-9a-f]{12}$/,
      ),
      "4 2026-11-23 15:00:00 refused repos core.db.tar.gz trailing-data",
    ]);
  });

  test("fits the terminal, whatever its width, and cuts nothing where there is none", async () => {
    const { directory } = await sampleLog();
    for (const columns of [20, 60, 80, 100, 132]) {
      const { lines } = await signerLog(["--state", directory, "list"], { columns, colour: true });
      for (const line of lines) expect(stripVTControlCharacters(line).length).toBeLessThanOrEqual(columns);
    }
    const { text } = await signerLog(["--state", directory, "list"]);
    expect(text).toContain("archlinux-2026.11.01-x86_64.iso");
    const { lines } = await signerLog(["--state", directory, "list"], { columns: 80, colour: false });
    expect(lines[0]).not.toContain("TYPE");
    expect(lines.join("\n")).toContain(" core.db.tar.gz ");
  });

  test("keeps numbers whole, and in their column, after the rows that it is laid out by", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i <= 1001; i++) await ledger.recordRefusal(at(i * HOUR), refused({ client: `c${i}` }));
    for (const columns of [undefined, 80]) {
      const { lines } = await signerLog(["--state", directory, "list", "--limit", "all"], {
        columns,
        colour: false,
      });
      expect(lines.slice(0, 2).map((line) => line.slice(0, 6))).toEqual([" SEQ  ", "   0  "]);
      expect(lines.at(-1)?.slice(0, 6)).toBe("1001  ");
    }
  });

  test("says on a terminal that nothing fits, and prints nothing into a pipe", async () => {
    const { directory } = await sampleLog();
    const none = ["--state", directory, "list", "--name", "none"];
    expect((await signerLog(none, { columns: 80, colour: false })).text).toBe("no such entry\n");
    expect((await signerLog(none)).text).toBe("");
  });

  test("uses colours only where it is told to", async () => {
    const { directory } = await sampleLog();
    expect((await signerLog(["--state", directory, "list"])).text).not.toContain("\u001b");
    const { lines } = await signerLog(["--state", directory, "list"], { columns: undefined, colour: true });
    expect(lines[3]).toMatch(/^\u001b\[32m.*\u001b\[0m$/);
    expect(lines[5]).toMatch(/^\u001b\[31m.*\u001b\[0m$/);
  });

  test("with --json prints the lines as they are logged, and nothing else", async () => {
    const { directory } = await sampleLog();
    expect((await signerLog(["--state", directory, "list", "--json"])).lines).toEqual(linesOf(directory));
    expect((await signerLog(["--state", directory, "list", "--json", "--limit", "2"])).lines).toEqual(
      linesOf(directory).slice(-2),
    );
  });

  test("shows the newest fifty unless told otherwise", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i <= 60; i++) await sign(ledger, at(i));
    expect((await signerLog(["--state", directory, "list", "--json"])).lines).toEqual(
      linesOf(directory).slice(-50),
    );
    expect((await signerLog(["--state", directory, "list", "--json", "--limit", "all"])).lines).toHaveLength(
      61,
    );
  });

  test("filters by time, kind, type, name and client", async () => {
    const { directory } = await sampleLog();
    const seqs = async (...args: string[]) =>
      (await signerLog(["--state", directory, "list", "--json", ...args])).lines.map(
        (line) => JSON.parse(line).seq,
      );
    expect(await seqs("--since", "2026-11-23T14:00:00Z")).toEqual([3, 4]);
    expect(await seqs("--until", "2026-11-23T14:00:00Z")).toEqual([0, 1, 2]);
    expect(await seqs("--since", "22h")).toEqual([3, 4]);
    expect(await seqs("--kind", "signed", "--kind", "refused")).toEqual([4]);
    expect(await seqs("--type", "iso")).toEqual([3]);
    expect(await seqs("--name", "core*")).toEqual([2, 4]);
    expect(await seqs("--client", "releng")).toEqual([3]);
    expect(await seqs("--client", "nobody")).toEqual([]);
  });

  test("refuses what it does not know: 64", async () => {
    const { directory } = await sampleLog();
    for (const args of [
      ["--since", "soon"],
      ["--kind", "sigend"],
      ["--type", "deb"],
      ["--limit", "0"],
      ["--limit", "-1"],
      ["--limit", "x"],
      ["extra"],
      ["--frob"],
    ]) {
      expect((await signerLog(["--state", directory, "list", ...args])).status, args.join(" ")).toBe(64);
    }
  });

  test("escapes what a tampered log holds, and says that it is no entry", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    tamper(directory, `UPDATE entries SET line = '{"kind":"\u001b[2J\u009b"}' WHERE seq = 2`);
    const table = await signerLog(["--state", directory, "list"]);
    expect(table.text).toContain("a line that is no entry");
    const json = await signerLog(["--state", directory, "list", "--json"]);
    expect(json.text).toMatch(/^[\x20-\x7e\n]*$/);
    expect(json.text).toContain("\\x1b[2J\\x9b");
    const shown = await signerLog(["--state", directory, "show", "2"]);
    expect(shown.text).toMatch(/^[\x20-\x7e\n]*$/);
  });
});

describe("show", () => {
  test("prints an entry by its number, with everything that it says", async () => {
    const { directory } = await sampleLog();
    const { status, text } = await signerLog(["--state", directory, "show", "2"]);
    expect(status).toBe(0);
    for (const part of [
      "entry 2\n",
      "  kind            signed\n",
      "  size            9 bytes\n",
      "  facts packages  1\n",
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain("alice");
  });

  test("finds it by signature file, armored signature, the artefact itself, and digests", async () => {
    const { directory, signature } = await sampleLog();
    const files = freshDirectory();
    writeFileSync(join(files, "a.sig"), signature);
    const armor = `-----BEGIN PGP SIGNATURE-----\n\n${Buffer.from(signature).toString("base64")}\n-----END PGP SIGNATURE-----\n`;
    writeFileSync(join(files, "a.asc"), armor);
    writeFileSync(join(files, "a"), "the bytes");
    const { sha256, sha512 } = JSON.parse(linesOf(directory)[2] ?? "");
    for (const subject of [
      join(files, "a.sig"),
      join(files, "a.asc"),
      join(files, "a"),
      sha256,
      sha512,
      sha256.slice(0, 8).toUpperCase(),
    ]) {
      const { status, lines } = await signerLog(["--state", directory, "show", "--json", subject]);
      expect([status, lines], subject).toEqual([0, [linesOf(directory)[2]]]);
    }
  });

  test("shows what is about people only when asked", async () => {
    const { directory } = await sampleLog();
    const { text } = await signerLog(["--state", directory, "show", "2", "--private"]);
    expect(text).toMatch(/private for +alice/);
    expect(text).toMatch(/private address +192\.0\.2\.10/);
    expect((await signerLog(["--state", directory, "show", "3", "--private"])).text).toMatch(
      /private record +none/,
    );
  });

  test("says that there is none: 64", async () => {
    const { directory } = await sampleLog();
    const file = join(freshDirectory(), "unknown");
    writeFileSync(file, "other bytes");
    for (const subject of ["5", "99", "0".repeat(64), "0123456", "no-such-file", file, "-1", directory]) {
      const { status, text } = await signerLog(["--state", directory, "show", "--", subject]);
      expect([status, text], subject).toEqual([64, ""]);
    }
  });

  test("does not take another log's signature for one of this log", async () => {
    const { directory } = await sampleLog();
    const other = await sampleLog();
    const file = join(freshDirectory(), "other.sig");
    writeFileSync(file, other.signature);
    expect((await signerLog(["--state", directory, "show", file])).status).toMatch(
      /^log-broken: .*of another log, or this one was changed$/,
    );
    for (let i = 0; i < 3; i++) await sign(other.ledger, at(4 * HOUR));
    const { signature } = await sign(other.ledger, at(5 * HOUR));
    writeFileSync(file, signature);
    expect((await signerLog(["--state", directory, "show", file])).status).toMatch(/^log-broken: /);
  });

  test("notices that the log before a signature is not the one it was made in, though its entry is there", async () => {
    const { ledger, directory, signature } = await sampleLog();
    ledger.close();
    tamper(directory, "UPDATE nodes SET hash = zeroblob(32) WHERE position = 2");
    const file = join(freshDirectory(), "a.sig");
    writeFileSync(file, signature);
    expect((await signerLog(["--state", directory, "show", file])).status).toMatch(
      /^log-broken: .*other entries/,
    );
  });
});

describe("verify", () => {
  test("says what agreed, or with --quiet nothing", async () => {
    const { ledger, directory } = await sampleLog();
    const { status, text } = await signerLog(["--state", directory, "verify"]);
    expect(status).toBe(0);
    expect(text).toMatch(/^entries +5$/m);
    expect(text).toMatch(/^signatures +2$/m);
    expect(text).toContain(encodeVerifierKey(ledger.verifier));
    expect(await signerLog(["--state", directory, "verify", "--quiet"])).toMatchObject({
      status: 0,
      text: "",
    });
  });

  test("names the entry that is wrong, and fails", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    tamper(directory, "UPDATE entries SET line = replace(line, 'core.db', 'evil.db') WHERE seq = 2");
    const { status, text } = await signerLog(["--state", directory, "verify"]);
    expect(status).toMatch(/^log-broken: entry 2: /);
    expect(text).toBe("");
  });

  test("holds the log against a checkpoint kept elsewhere", async () => {
    const { ledger, directory } = await sampleLog();
    const kept = join(freshDirectory(), "checkpoint");
    writeFileSync(kept, (await signerLog(["--state", directory, "checkpoint"])).text);
    await sign(ledger, at(DAY));
    const { status, text } = await signerLog(["--state", directory, "verify", "--checkpoint", kept]);
    expect(status).toBe(0);
    expect(text).toMatch(/^continues +the given checkpoint of 5 entries$/m);
    writeFileSync(kept, ledger.checkpoint());
    const old = await signerLog(["--state", directory, "verify", "--checkpoint", kept]);
    expect(old.status).toBe(0);
  });

  test("finds a log that was replaced as a whole by another of the same origin", async () => {
    const [one, other] = [await sampleLog(), await sampleLog()];
    const kept = join(freshDirectory(), "checkpoint");
    writeFileSync(kept, one.ledger.checkpoint());
    expect((await signerLog(["--state", other.directory, "verify", "--checkpoint", kept])).status).toMatch(
      /^log-broken: the given checkpoint is not signed/,
    );
    const key = encodeVerifierKey(one.ledger.verifier);
    expect((await signerLog(["--state", other.directory, "verify", "--key", key])).status).toMatch(
      /^log-broken: entry 0: /,
    );
    expect(
      (await signerLog(["--state", one.directory, "verify", "--key", key, "--checkpoint", kept])).status,
    ).toBe(0);
    one.ledger.close();
    other.ledger.close();
    copyFileSync(join(other.directory, "log.db"), join(one.directory, "log.db"));
    expect((await signerLog(["--state", one.directory, "verify"])).status).toMatch(/^log-broken: entry 0: /);
  });

  test("refuses a checkpoint file that is none, and a key that is none: 64", async () => {
    const { directory } = await sampleLog();
    const file = join(freshDirectory(), "x");
    writeFileSync(file, "not a note");
    for (const args of [
      ["--checkpoint", file],
      ["--checkpoint", join(directory, "none")],
      ["--checkpoint", directory],
      ["--key", "x"],
    ]) {
      expect((await signerLog(["--state", directory, "verify", ...args])).status, args.join(" ")).toBe(64);
    }
  });

  test("works on a mere copy of a log, by the key that it states", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    const copy = freshDirectory();
    copyFileSync(join(directory, "log.db"), join(copy, "log.db"));
    expect((await signerLog(["--state", copy, "verify"])).status).toBe(0);
    expect((await signerLog(["--state", copy, "key"])).text).toBe(`${encodeVerifierKey(ledger.verifier)}\n`);
  });
});

describe("checkpoint", () => {
  test("prints the newest one, as C2SP tools read it", async () => {
    const { ledger, directory } = await sampleLog();
    expect(await signerLog(["--state", directory, "checkpoint"])).toMatchObject({
      status: 0,
      text: ledger.checkpoint(),
    });
  });

  test("prints none that the log's key did not sign", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    tamper(directory, "UPDATE head SET checkpoint = 'x' || char(27) || checkpoint");
    const { status, text } = await signerLog(["--state", directory, "checkpoint"]);
    expect(status).toMatch(/^log-broken: /);
    expect(text).toBe("");
  });
});

describe("the program", () => {
  const program = (args: readonly string[]) => run("bin/signer-log", args);

  test("finds the log through a configuration, and says 78 where it cannot", async () => {
    const { directory } = await sampleLog();
    const folder = freshDirectory();
    const none = await program(["--config", join(folder, "none.toml"), "list"]);
    expect([none.status, none.stderr]).toEqual([
      78,
      expect.stringMatching(/^signer-log: bad-configuration: /),
    ]);
    mkdirSync(join(folder, "empty"));
    const empty = await program(["--state", join(folder, "empty"), "list"]);
    expect([empty.status, empty.stderr]).toEqual([78, expect.stringMatching(/^signer-log: no-state: /)]);
    expect((await program(["--state", directory, "list"])).status).toBe(0);
  });

  test("reads a checkpoint from stdin, also where that is a socket, as under sshd", async () => {
    const { ledger, directory } = await sampleLog();
    const verify = ["--state", directory, "verify", "--quiet", "--checkpoint", "-"];
    expect(await run("bin/signer-log", verify, { stdin: ledger.checkpoint() })).toMatchObject({
      status: 0,
      stderr: "",
    });
    expect((await run("bin/signer-log", verify, { stdin: "" })).status).toBe(64);
  });

  test("exits 69 with one line where the log is broken, 64 for a command that is none, 0 for help", async () => {
    const { ledger, directory } = await sampleLog();
    ledger.close();
    tamper(directory, "DELETE FROM entries WHERE seq = 4");
    const broken = await program(["--state", directory, "verify"]);
    expect([broken.status, broken.stdout.toString(), broken.stderr]).toEqual([
      69,
      "",
      expect.stringMatching(/^signer-log: log-broken: [ -~]+\n$/),
    ]);
    expect((await program(["frobnicate"])).status).toBe(64);
    expect((await program([])).status).toBe(64);
    const help = await program(["list", "--help"]);
    expect([help.status, help.stderr]).toEqual([0, ""]);
    expect(help.stdout.toString()).toContain("--since");
  });

  test("is quiet about a reader that goes away, and not about a full disk", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i <= 200; i++) await sign(ledger, at(i));
    const command = `bin/signer-log --state ${directory} list --json --limit all`;
    const head = await run("bash", ["-c", `${command} | head -n 1; echo \${PIPESTATUS[0]}`]);
    expect(head.stderr).toBe("");
    expect(head.stdout.toString().split("\n").slice(1)).toEqual(["0", ""]);
    const full = await run("bash", ["-c", `${command} > /dev/full`]);
    expect([full.status, full.stderr]).toEqual([
      74,
      expect.stringMatching(/^signer-log: reply-not-delivered: /),
    ]);
  });
});
