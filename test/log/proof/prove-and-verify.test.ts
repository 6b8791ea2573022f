import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runLogProgram } from "../../../src/cli/log/log-program.ts";
import { Output } from "../../../src/cli/log/output.ts";
import { openAcknowledgement, storeAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { openCheckpoint, signCheckpoint } from "../../../src/log/checkpoint.ts";
import { cosign, type Witness } from "../../../src/log/cosignature.ts";
import { haltReason } from "../../../src/log/halt.ts";
import { openLogDatabase } from "../../../src/log/log-file.ts";
import { nodeReader } from "../../../src/log/log-head.ts";
import { readLogKey } from "../../../src/log/log-key.ts";
import { treeRoot } from "../../../src/log/merkle.ts";
import { parseTlogProof } from "../../../src/log/proof/tlog-proof.ts";
import { encodeVerifierKey, parseSignedNote } from "../../../src/log/signed-note.ts";
import { EXIT, Fault, isRefusal, type Refusal } from "../../../src/outcome.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { buildDatabase } from "../../support/database-fixture.ts";
import { run } from "../../support/run.ts";
import { makeSigningHost, SIGNER_LOG, type SigningHostUnderTest } from "../../support/signing-host.ts";
import { at, DAY, freshDirectory, freshLedger, ORIGIN, sign, tamper, verdict } from "../fixture.ts";
import { newLogSigner, newWitness } from "./fixture.ts";
import { SECOND } from "./second-implementation.ts";

/** Runs a command line in this process. */
async function signerLog(args: readonly string[]) {
  const [printed, complaints, notes]: [string[], string[], string[]] = [[], [], []];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      printed.push(chunk.toString());
      done();
    },
  });
  const status = await runLogProgram(args, {
    output: new Output(stream, { columns: undefined, colour: false }),
    complain: ({ code, reason }: Refusal) => {
      complaints.push(`${code}: ${reason}`);
      return EXIT[code];
    },
    now: at(DAY),
    onProgress: undefined,
    note: (text) => void notes.push(text),
  }).catch((error: unknown) => {
    if (!(error instanceof Fault)) throw error;
    complaints.push(`${error.code}: ${error.message}`);
    return EXIT[error.code];
  });
  return { status, text: printed.join(""), complaint: complaints.join(), notes };
}

/** Has a head of the first `size` entries cosigned, as a remote log would, and keeps that beside the log. */
function acknowledge(directory: string, size: number, ...witnesses: readonly Witness[]): void {
  const signer = readLogKey(directory, ORIGIN);
  const database = openLogDatabase(directory);
  try {
    const note = signCheckpoint({ size, root: treeRoot(size, nodeReader(database)) }, signer);
    for (const witness of witnesses) {
      const cosigned = cosign(note, witness, at(size * 1000));
      const found = openAcknowledgement(cosigned, signer.verifier, witness.key);
      if (found === undefined) throw new Error("an acknowledgement expected");
      storeAcknowledgement(database, found);
    }
  } finally {
    database.close();
  }
}

const [one, two, three] = [newWitness(), newWitness("witness.example.org"), newWitness("third.example.com")];
const witnessArgs = (...witnesses: readonly Witness[]) =>
  witnesses.flatMap(({ key }) => ["--witness", encodeVerifierKey(key)]);

/** Size of the head of a proof, and who signed it, in their order. */
function headOf(proof: string): readonly [size: number | undefined, ...names: string[]] {
  const parsed = parseTlogProof(proof);
  if (isRefusal(parsed)) throw new Error(parsed.reason);
  const note = parseSignedNote(parsed.checkpoint);
  return [Number(note?.text.split("\n")[1]), ...(note?.signatures.map(({ name }) => name) ?? [])];
}

describe("prove", () => {
  async function sampleLog(entries = 6) {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i < entries; i++) await sign(ledger, at(i * 1000), { content: `artefact ${i}` });
    return {
      ledger,
      directory,
      prove: (...args: string[]) => signerLog(["--state", directory, "prove", ...args]),
    };
  }

  test("takes the head that most witnesses cosigned, each with its cosignature, and is silent about it", async () => {
    const { directory, prove } = await sampleLog();
    acknowledge(directory, 6, three);
    acknowledge(directory, 4, one, two);
    const { status, text, notes } = await prove("2");
    expect([status, notes]).toEqual([0, []]);
    const [size, first, ...cosigners] = headOf(text);
    expect([size, first, cosigners.toSorted()]).toEqual([4, ORIGIN, [one.key.name, two.key.name]]);
  });

  test("takes the larger of two that equally many cosigned, and only heads that hold the entry", async () => {
    const { directory, prove } = await sampleLog();
    acknowledge(directory, 3, one);
    acknowledge(directory, 4, two);
    expect(headOf((await prove("2")).text)).toEqual([4, ORIGIN, two.key.name]);
    expect(headOf((await prove("3")).text)).toEqual([4, ORIGIN, two.key.name]);
    const { text, notes } = await prove("4");
    expect(headOf(text)).toEqual([6, ORIGIN]);
    expect(notes).toEqual([
      "entry 4 is in the log of 6 entries; no witness vouches for it, only the log's own key",
    ]);
  });

  test("takes nothing into the proof that a witness's note holds beside its own cosignature", async () => {
    const { directory, prove } = await sampleLog();
    acknowledge(directory, 6, one);
    const stranger = cosign(
      signCheckpoint({ size: 1, root: Buffer.alloc(32) }, newLogSigner()),
      three,
      at(0),
    );
    const line = stranger.split("\n").at(-2);
    tamper(directory, `UPDATE acknowledgements SET note = note || '${line}\n'`);
    expect(headOf((await prove("2")).text)).toEqual([6, ORIGIN, one.key.name]);
  });

  test("refuses to prove anything where a witness saw another log: log-broken", async () => {
    const { directory, prove } = await sampleLog();
    const signer = readLogKey(directory, ORIGIN);
    for (const [size, root] of [
      [3, Buffer.alloc(32, 1)],
      [7, Buffer.alloc(32)],
    ] as const) {
      const note = cosign(signCheckpoint({ size, root }, signer), one, at(0));
      tamper(
        directory,
        `REPLACE INTO acknowledgements VALUES ('${encodeVerifierKey(one.key)}', ${size}, '${note}')`,
      );
      const { status, text, complaint } = await prove("2");
      expect([status, text]).toEqual([69, ""]);
      expect(complaint).toBe(
        `log-broken: the head of ${size} entries that "witness.example.net/w1" cosigned is none of this log`,
      );
    }
  });

  test("never writes a proof that does not verify: log-broken", async () => {
    const { ledger, directory, prove } = await sampleLog();
    ledger.close();
    tamper(directory, "UPDATE entries SET line = replace(line, 'core.db', 'evil.db') WHERE seq = 2");
    expect(await prove("2")).toMatchObject({ status: 69, text: "" });
    tamper(directory, "UPDATE nodes SET hash = zeroblob(32) WHERE position = 0");
    expect(await prove("1")).toMatchObject({ status: 69, text: "" });
    tamper(directory, "UPDATE head SET checkpoint = replace(checkpoint, 'signer', 'sinner')");
    expect((await prove("3")).complaint).toBe(
      "log-broken: the newest checkpoint is not signed by the log's key",
    );
  });

  test("says which entry it proves where several are about the same: the newest signature", async () => {
    const { ledger, directory, prove } = await sampleLog();
    await sign(ledger, at(10_000), { content: "artefact 3" });
    await ledger.recordRefusal(at(11_000), {
      kind: "refused",
      client: "repos",
      code: "over-limit",
      reason: "a limit",
      sha256: JSON.parse((await signerLog(["--state", directory, "show", "--json", "3"])).text).sha256,
    });
    const file = join(freshDirectory(), "artefact");
    writeFileSync(file, "artefact 3");
    const { text, notes } = await prove(file);
    expect(text).toBe((await prove("6")).text);
    expect(notes[0]).toMatch(/^3 entries are about digest [0-9a-f]{64}: this is the proof of entry 6$/);
  });

  test("-o replaces the file as a whole and says on stdout who cosigned; what cannot be written leaves nothing: 74", async () => {
    const { directory, prove } = await sampleLog();
    acknowledge(directory, 6, one);
    const folder = freshDirectory();
    const file = join(folder, "a.tlog-proof");
    writeFileSync(file, "old");
    const { status, text, notes } = await prove("2", "-o", file);
    expect([status, text, notes]).toEqual([
      0,
      'entry 2 is in the log of 6 entries, cosigned by "witness.example.net/w1"\n',
      [],
    ]);
    expect(readFileSync(file, "utf8")).toBe((await prove("2")).text);
    expect(readdirSync(folder)).toEqual(["a.tlog-proof"]);
    mkdirSync(join(folder, "is-a-folder"));
    symlinkSync("/dev/null", join(folder, "is-a-link"));
    for (const bad of ["none/x", "is-a-folder", "is-a-link"]) {
      expect((await prove("2", "-o", join(folder, bad))).status, bad).toBe(74);
    }
    expect(readdirSync(folder)).toEqual(["a.tlog-proof", "is-a-folder", "is-a-link"]);
  });

  test("proves from a copy on a log host, by the head that the copy itself cosigned", async () => {
    const { ledger, directory } = await sampleLog();
    acknowledge(directory, 6, one);
    ledger.close();
    const copies = freshDirectory();
    mkdirSync(join(copies, "repo"));
    copyFileSync(join(directory, "log.db"), join(copies, "repo", "log.db"));
    const { text, notes } = await signerLog(["--copies", copies, "--log", "repo", "prove", "2"]);
    expect([headOf(text), notes]).toEqual([[6, ORIGIN, one.key.name], []]);
    const file = join(copies, "proof");
    writeFileSync(file, text);
    const key = encodeVerifierKey(ledger.verifier);
    expect((await signerLog(["verify", file, "--key", key, ...witnessArgs(one)])).status).toBe(0);
  });

  test("says that there is no such entry: 64", async () => {
    const { prove } = await sampleLog();
    for (const subject of ["6", "f".repeat(64), "nothing"])
      expect(await prove(subject), subject).toMatchObject({ status: 64, text: "" });
    expect((await prove()).status).toBe(64);
  });
});

describe("the whole log", () => {
  test("verifies with each witness's newest head, and --witness says which must be there", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i < 5; i++) await sign(ledger, at(i * 1000));
    const verify = (...args: string[]) => signerLog(["--state", directory, "verify", ...args]);
    expect((await verify(...witnessArgs(one))).complaint).toBe(
      'log-broken: the log agrees with itself, but there is no head of it that the witness "witness.example.net/w1" cosigned',
    );
    acknowledge(directory, 3, one);
    acknowledge(directory, 5, two);
    expect((await verify()).status).toBe(0);
    const { status, text } = await verify(...witnessArgs(one, two, one));
    expect(status).toBe(0);
    expect(text.match(/^continues.*$/gm)).toEqual([
      "continues         the 3 entries that witness.example.net/w1 cosigned at 2026-11-23T12:00:03.000Z",
      "continues         the 5 entries that witness.example.org cosigned at 2026-11-23T12:00:05.000Z",
    ]);
    expect((await verify(...witnessArgs(three))).status).toBe(69);
    expect(haltReason(directory)).toBeUndefined();
  });

  test("is broken where what it says of witnesses and collectors is not true", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i < 5; i++) await sign(ledger, at(i * 1000));
    ledger.close();
    const signer = readLogKey(directory, ORIGIN);
    const root = (size: number) => Buffer.alloc(32, size);
    const row = (size: number, note: string, by = encodeVerifierKey(one.key)) =>
      `REPLACE INTO acknowledgements VALUES ('${by}', ${size}, '${note}')`;
    const cosigned = (size: number, by = signer) =>
      cosign(signCheckpoint({ size, root: root(size) }, by), one, at(0));
    for (const [sql, what] of [
      [
        row(3, cosigned(3)),
        'the first 3 entries are not the ones that the witness "witness.example.net/w1" cosigned',
      ],
      [
        row(6, cosigned(6)),
        'the log has 5 entries and the witness "witness.example.net/w1" cosigned 6: its end was removed',
      ],
      [row(4, cosigned(3)), "the acknowledgement of "],
      [row(3, cosigned(3, newLogSigner())), "the acknowledgement of "],
      [row(3, signCheckpoint({ size: 3, root: root(3) }, signer)), "the acknowledgement of "],
      [row(3, "x"), "the acknowledgement of "],
      [row(3, cosigned(3), "x"), 'the acknowledgement of "x" is not one of a witness'],
      [row(3, cosigned(3), encodeVerifierKey(two.key)), "the acknowledgement of "],
      [
        "INSERT INTO forwarded VALUES ('siem', 6)",
        'the log has 5 entries and says that 6 were sent to "siem"',
      ],
      [
        "INSERT INTO forwarded VALUES ('siem', -1)",
        'the log has 5 entries and says that -1 were sent to "siem"',
      ],
      ["INSERT INTO forwarded VALUES ('', 1)", 'the log has 5 entries and says that 1 were sent to ""'],
    ] as const) {
      tamper(directory, `DELETE FROM acknowledgements; DELETE FROM forwarded; ${sql}`);
      expect(verdict(directory).slice(0, what.length + 3)).toBe(`-: ${what}`);
    }
    tamper(directory, "DELETE FROM forwarded; INSERT INTO forwarded VALUES ('siem', 5), ('other', 0)");
    expect(verdict(directory)).toBe("sound");
  });

  test("continues the checkpoint of a proof, and a cosigned one", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i < 5; i++) await sign(ledger, at(i * 1000));
    acknowledge(directory, 5, one, two);
    const kept = join(freshDirectory(), "kept");
    const proof = (await signerLog(["--state", directory, "prove", "2"])).text;
    const parsed = parseTlogProof(proof);
    if (isRefusal(parsed)) throw new Error(parsed.reason);
    await sign(ledger, at(9000));
    for (const text of [proof, parsed.checkpoint]) {
      writeFileSync(kept, text);
      const { status, text: said } = await signerLog(["--state", directory, "verify", "--checkpoint", kept]);
      expect(status).toBe(0);
      expect(said).toMatch(/^continues +the given checkpoint of 5 entries$/m);
    }
    writeFileSync(kept, proof.replace("index 2", "index two"));
    expect((await signerLog(["--state", directory, "verify", "--checkpoint", kept])).status).toBe(64);
    writeFileSync(kept, (await signerLog(["--state", freshLedger().directory, "prove", "0"])).text);
    expect((await signerLog(["--state", directory, "verify", "--checkpoint", kept])).complaint).toMatch(
      /^log-broken: the given checkpoint is not signed with this log's key/,
    );
  });
});

describe("a proof of a real signature", () => {
  const cleanup = new Cleanup();
  afterAll(() => cleanup.run());
  const NAME = "core.db.tar.gz";
  const artefact = buildDatabase({ packages: 3, kind: "db" });
  let host: SigningHostUnderTest;
  let folder = "";
  let proof = "";
  /** Everything that is needed, in the order of the man page. */
  let args: readonly string[] = [];
  const path = (name: string) => join(folder, name);
  const verify = (...more: string[]) => signerLog(["verify", proof, ...args, ...more]);

  beforeAll(async () => {
    host = await makeSigningHost(cleanup);
    folder = host.folder;
    const { stdout } = await host.accept({ command: NAME, stdin: artefact });
    await host.accept({ command: NAME, stdin: artefact });
    writeFileSync(path(NAME), artefact);
    writeFileSync(path(`${NAME}.sig`), stdout);
    writeFileSync(path("repo.asc"), await host.publicKey());
    acknowledge(host.stateDirectory, host.entries().length, one, two);
    proof = path(`${NAME}.tlog-proof`);
    const log = ["--config", host.configFile];
    const proved = await run(SIGNER_LOG, [...log, "prove", path(`${NAME}.sig`), "-o", proof]);
    expect([proved.status, proved.stderr]).toEqual([0, ""]);
    writeFileSync(path("log.pub"), (await run(SIGNER_LOG, [...log, "key"])).stdout);
    writeFileSync(path("witness.pub"), `${encodeVerifierKey(one.key)}\n`);
    args = [
      "--key",
      `@${path("log.pub")}`,
      "--artefact",
      path(NAME),
      "--signature",
      path(`${NAME}.sig`),
      "--openpgp",
      path("repo.asc"),
    ];
  });

  test("verifies with public keys alone, away from the log, and so it does for the second implementation", async () => {
    const witnesses = ["--witness", `@${path("witness.pub")}`, ...witnessArgs(two)];
    const elsewhere = { cwd: freshDirectory(), env: { PATH: process.env["PATH"] } };
    const { status, stdout, stderr } = await run(
      SIGNER_LOG,
      ["verify", proof, ...args, ...witnesses],
      elsewhere,
    );
    expect([status, stderr]).toEqual([0, ""]);
    const text = stdout.toString();
    expect(text).toMatch(/^cosigned +2026-11-23T[0-9:.]+Z by witness\.example\.net\/w1$/m);
    expect(text).toMatch(/^cosigned +2026-11-23T[0-9:.]+Z by witness\.example\.org$/m);
    expect(text).toMatch(/^OpenPGP key +[0-9A-F]{40}$/m);
    expect(text.match(/(?<=^verified +)\S.*$/gm)).toEqual([
      "the entry is in the log that the checkpoint stands for",
      "the log's key signed the checkpoint",
      "all 2 witnesses cosigned it",
      "the entry is about this artefact",
      "the entry's signature is this one",
      "this OpenPGP key made it over this artefact",
    ]);
    expect(text).not.toContain("NOT verified");
    const key = readFileSync(path("log.pub"), "utf8").trim();
    const second = await run("python3", [
      "-B",
      SECOND,
      "proof",
      proof,
      "--key",
      key,
      ...witnessArgs(one, two),
    ]);
    expect(JSON.parse(second.stdout.toString())).toMatchObject({ ok: true, index: 2 });
  });

  test("says what was not verified, for each option that is left out", async () => {
    const { status, text } = await signerLog(["verify", proof, "--key", `@${path("log.pub")}`]);
    expect(status).toBe(0);
    expect(text.match(/(?<=^NOT verified +)\S.*$/gm)).toEqual([
      "that anybody else saw this log (--witness): its key alone could sign two",
      "which file the entry is about (--artefact)",
      "which signature file holds its signature (--signature)",
      "which OpenPGP key made that signature (--openpgp)",
    ]);
    expect((await verify("--quiet")).text).toBe("");
  });

  test("is read from stdin, and the signature armored, too", async () => {
    const armored = `-----BEGIN PGP SIGNATURE-----\n\n${readFileSync(path(`${NAME}.sig`)).toString("base64")}\n-----END PGP SIGNATURE-----\n`;
    writeFileSync(path("armored.asc"), armored);
    const { status, stderr } = await run(
      SIGNER_LOG,
      ["verify", "-", "--key", `@${path("log.pub")}`, "--signature", path("armored.asc")],
      { stdin: readFileSync(proof) },
    );
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("does not prove anything about other files: bad-proof, 65", async () => {
    writeFileSync(path("longer"), Buffer.concat([artefact, Buffer.of(0)]));
    writeFileSync(path("shorter"), artefact.subarray(1));
    const flipped = Buffer.from(artefact);
    flipped[100] = (flipped[100] ?? 0) ^ 1;
    writeFileSync(path("flipped"), flipped);
    const other = await makeSigningHost(cleanup);
    writeFileSync(path("other.asc"), await other.publicKey());
    const { stdout } = await other.accept({ command: NAME, stdin: artefact });
    writeFileSync(path("other.sig"), stdout);
    const size = artefact.length;
    for (const [option, name, reason] of [
      ["--artefact", "longer", `the artefact has more bytes than the ${size} of entry 2`],
      ["--artefact", "shorter", `the artefact has fewer bytes than the ${size} of entry 2`],
      ["--artefact", "flipped", "the artefact's SHA-256 is not that of entry 2"],
      ["--signature", "other.sig", "the signature file is not the signature of entry 2"],
      ["--signature", NAME, "the signature file is none: ascii armor of a pgp signature expected"],
      ["--openpgp", "other.asc", "the OpenPGP key is not the one that made the signature: "],
      ["--openpgp", `${NAME}.sig`, "the OpenPGP key is not the one that made the signature: "],
      ["--openpgp", "log.pub", "the OpenPGP key is none: ascii armor of a pgp public key block expected"],
    ] as const) {
      const { status, text, complaint } = await verify(option, path(name));
      expect([status, text], name).toEqual([65, ""]);
      expect(complaint.slice(0, `bad-proof: ${reason}`.length)).toBe(`bad-proof: ${reason}`);
    }
  });

  test("does not prove anything with other keys: bad-proof, 65", async () => {
    expect((await signerLog(["verify", path(NAME), ...args])).complaint).toMatch(
      /^bad-proof: the file is no tlog-proof: /,
    );
    const otherLog = encodeVerifierKey(newLogSigner().verifier);
    expect((await verify("--key", otherLog)).complaint).toBe(
      `bad-proof: the checkpoint is not signed by the key ${otherLog}`,
    );
    expect(await verify(...witnessArgs(one, three))).toMatchObject({
      status: 65,
      complaint: 'bad-proof: the witness "third.example.com" has not cosigned the checkpoint',
    });
  });

  test("of an entry that is about no signature verifies, but not with files", async () => {
    const { text } = await signerLog(["--config", host.configFile, "prove", "0"]);
    writeFileSync(path("started"), text);
    const key = ["--key", `@${path("log.pub")}`];
    expect(await signerLog(["verify", path("started"), ...key])).toMatchObject({ status: 0, complaint: "" });
    expect(await signerLog(["verify", path("started"), ...args])).toMatchObject({
      status: 65,
      complaint: "bad-proof: entry 0 is about no signature: its kind is started",
    });
  });

  test("of a reissued signature verifies with its files, too", async () => {
    const { text } = await signerLog(["--config", host.configFile, "prove", "3"]);
    writeFileSync(path("reissued"), text);
    const { status, text: said } = await signerLog(["verify", path("reissued"), ...args]);
    expect(status).toBe(0);
    expect(said).toMatch(/^kind +reissued$/m);
  });

  test("needs options that go together, and files that can be read: 64", async () => {
    const key = ["--key", `@${path("log.pub")}`];
    const state = ["--config", host.configFile];
    for (const [why, line] of [
      ["expected --key", ["verify", proof]],
      ["--checkpoint is for the whole log", ["verify", proof, ...key, "--checkpoint", proof]],
      ["--artefact goes with a proof", [...state, "verify", "--artefact", proof]],
      ["--signature goes with a proof", [...state, "verify", "--signature", proof]],
      ["--openpgp goes with a proof", [...state, "verify", "--openpgp", proof]],
      [
        "--openpgp verifies the signature over the file after --artefact",
        ["verify", proof, ...key, "--openpgp", proof],
      ],
      ["expected the key that signer-log key prints", ["verify", proof, "--key", "x"]],
      ["expected the key that signer-log key prints", ["verify", proof, "--key", `@${path("none")}`]],
      ["expected the key that signer-log key prints", ["verify", proof, "--key", encodeVerifierKey(one.key)]],
      ["expected the key that signer-log key prints", [...state, "verify", "--key", "x"]],
      [
        "expected the key of a witness",
        ["verify", proof, ...key, "--witness", readFileSync(path("log.pub"), "utf8").trim()],
      ],
      ["expected the key of a witness", [...state, "verify", "--witness", "x"]],
      ["cannot be read", ["verify", path("none"), ...key]],
      ["cannot be read", ["verify", folder, ...key]],
      ["cannot be read", ["verify", proof, ...key, "--artefact", path("none")]],
      ["cannot be read", ["verify", proof, ...key, "--artefact", folder]],
      // It can be opened, and its first byte cannot be read.
      ["cannot be read", ["verify", proof, ...key, "--artefact", "/proc/self/mem"]],
      ["cannot be read", ["verify", proof, ...key, "--signature", path("none")]],
      ["cannot be read", ["verify", proof, ...key, "--signature", "/dev/zero"]],
      ["too long for a tlog-proof", ["verify", "/dev/zero", ...key]],
      ["cannot be read", ["verify", proof, ...key, "--artefact", path(NAME), "--openpgp", path("none")]],
    ] as const) {
      const { status, text, complaint } = await signerLog(line);
      expect([status, text], line.join(" ")).toEqual([64, ""]);
      expect(complaint).toContain(why);
    }
  });
});

test("the checkpoint that prove falls back to is the newest", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1000));
  const { text } = await signerLog(["--state", directory, "prove", "1"]);
  const parsed = parseTlogProof(text);
  expect(isRefusal(parsed) ? parsed : openCheckpoint(parsed.checkpoint, ledger.verifier)?.size).toBe(2);
});
