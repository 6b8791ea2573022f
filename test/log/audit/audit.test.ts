import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fitsName } from "../../../src/log/audit/signature-audit.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { signerLog } from "../../cli/log/command-line.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { buildDatabase } from "../../support/database-fixture.ts";
import { type Gpg, startGpg } from "../../support/gpg.ts";
import { makeRepository } from "../../support/repository.ts";
import { run, runOk } from "../../support/run.ts";
import { rule } from "../../support/signing-host.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { acknowledge, growTo } from "../export/fixture.ts";
import { reopen } from "../fixture.ts";
import { newWitness } from "../proof/fixture.ts";
import { backUp, codesOf, linkSignature, type Published, publishRepository } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const DB = "core.db.tar.gz";
const FILES = "core.files.tar.gz";
const newer = buildDatabase({ packages: 1, kind: "db", seed: 7 });
const newest = buildDatabase({ packages: 1, kind: "db", seed: 8 });

/** Made once by the real repo-add and gpg; every test has a copy. */
let repository: string;
let gpg: Gpg;
beforeAll(async () => {
  repository = await tempDir(cleanup);
  gpg = await startGpg(cleanup);
  const packager = await gpg.generateKey("Packager <packager@example.org>");
  await makeRepository(repository, "core");
  for (const name of ["apple-1.0-1", "pear-1:2.0-3"])
    await gpg.run(["-u", packager, "--detach-sign", join(repository, `${name}-any.pkg.tar.zst`)]);
});

/** Both databases signed, linked and exported. */
async function published(): Promise<Published> {
  const made = await publishRepository(cleanup, repository);
  for (const name of [DB, FILES]) {
    writeFileSync(
      join(made.tree, `${name}.sig`),
      await made.sign(name, await readFile(join(made.tree, name))),
    );
    linkSignature(made.tree, name);
  }
  made.exportLog();
  return made;
}

const at = ({ tree }: Published, name: string) => join(tree, name);

describe("a tree that agrees with the log", () => {
  test("as repo-add leaves it, with links and packagers' signatures", async () => {
    const made = await published();
    const { status, text } = await made.audit();
    expect(status).toBe(0);
    expect(text.split("\n")).toEqual([
      "4 signatures of ours, 2 other .sig files left alone",
      "4 entries in the log, whose tree has the root of its checkpoint",
      "(only --witness shows that the log is the one that others see)",
      "2 names looked for in the tree",
      "the tree and the log signer.example.org/repo agree",
      "",
    ]);
  });

  test("on a mirror that has files in place of links", async () => {
    const made = await published();
    await runOk("cp", ["-rL", made.tree, `${made.tree}.mirror`]);
    rmSync(made.tree, { recursive: true });
    renameSync(`${made.tree}.mirror`, made.tree);
    expect(await made.findings()).toEqual([]);
  });

  test("says the same with the log itself as with its exported copy, and takes the key beside it", async () => {
    const made = await published();
    const args = ["audit", made.tree, "--openpgp", made.openpgp, "--json"];
    const state = ["--state", made.host.stateDirectory];
    expect(codesOf(await signerLog([...state, ...args]))).toEqual([]);
    rmSync(at(made, `${DB}.sig`));
    const codes = codesOf(await signerLog([...state, ...args]));
    expect(codes).toEqual(["unreadable core.db.sig", "missing"]);
    expect(await made.findings()).toEqual(codes);
  });

  test("with the backup that repo-add keeps of the state before", async () => {
    const made = await published();
    backUp(made.tree, DB);
    await made.publish(DB, newer);
    made.exportLog();
    expect(await made.findings()).toEqual([]);
  });

  test("where the newest entry is of the same bytes, signed once more", async () => {
    const made = await published();
    made.host.clock.now = new Date(made.host.clock.now.getTime() + 2 * 86_400_000);
    await made.sign(DB, readFileSync(at(made, DB)));
    made.exportLog();
    expect(made.host.kinds().filter((kind) => kind === "signed")).toHaveLength(3);
    expect(await made.findings()).toEqual([]);
  });

  test("with a signature for which no name was given", async () => {
    const made = await published();
    writeFileSync(at(made, "other.db"), newer);
    writeFileSync(at(made, "other.db.sig"), await made.sign(undefined, newer));
    made.exportLog();
    expect(await made.findings()).toEqual([]);
    expect((await made.audit()).text).toContain("1 signature in the log without a name, not looked for\n");
  });
});

describe("each kind of fraud is found", () => {
  const cases: readonly (readonly [string, (made: Published) => unknown, readonly string[]])[] = [
    [
      "signatures swapped",
      (made) => {
        copyFileSync(at(made, `${DB}.sig`), at(made, "spare"));
        copyFileSync(at(made, `${FILES}.sig`), at(made, `${DB}.sig`));
        copyFileSync(at(made, "spare"), at(made, `${FILES}.sig`));
      },
      [
        "wrong-file core.db.sig",
        "wrong-name core.db.sig",
        "wrong-file core.db.tar.gz.sig",
        "wrong-name core.db.tar.gz.sig",
        "wrong-file core.files.sig",
        "wrong-name core.files.sig",
        "wrong-file core.files.tar.gz.sig",
        "wrong-name core.files.tar.gz.sig",
        "missing",
        "missing",
      ],
    ],
    [
      "an old state, database and signature, replayed",
      async (made) => {
        await made.sign(DB, newer);
        made.exportLog();
      },
      ["outdated core.db.tar.gz.sig"],
    ],
    [
      "an old state put in the place of a new one that is kept as its backup",
      async (made) => {
        backUp(made.tree, DB);
        writeFileSync(at(made, `${DB}.old.sig`), await made.sign(DB, newer));
        writeFileSync(at(made, `${DB}.old`), newer);
        made.exportLog();
      },
      ["outdated core.db.tar.gz.sig"],
    ],
    [
      "a new database beside its old signature",
      async (made) => {
        await made.sign(DB, newer);
        writeFileSync(at(made, DB), newer);
        made.exportLog();
      },
      ["wrong-file core.db.sig", "wrong-file core.db.tar.gz.sig", "outdated core.db.tar.gz.sig"],
    ],
    [
      "a database changed in place, of the same length",
      (made) => {
        const bytes = readFileSync(at(made, DB));
        bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
        writeFileSync(at(made, DB), bytes);
      },
      ["wrong-file core.db.sig", "wrong-file core.db.tar.gz.sig"],
    ],
    [
      "a signature deleted",
      (made) => {
        rmSync(at(made, `${DB}.sig`));
        rmSync(at(made, "core.db.sig"));
      },
      ["missing"],
    ],
    [
      "a database deleted and its signature left",
      (made) => rmSync(at(made, DB)),
      ["no-file core.db.sig", "no-file core.db.tar.gz.sig"],
    ],
    [
      "a signature of another repository",
      async (made) => {
        mkdirSync(at(made, "extra"));
        for (const suffix of ["", ".sig"])
          copyFileSync(at(made, DB + suffix), at(made, `extra/extra.db.tar.gz${suffix}`));
      },
      ["wrong-name extra/extra.db.tar.gz.sig"],
    ],
    [
      "an HTML page for a signature",
      (made) => writeFileSync(at(made, `${DB}.sig`), "<!doctype html>"),
      ["no-signature core.db.sig", "no-signature core.db.tar.gz.sig", "missing"],
    ],
    [
      "an empty signature",
      (made) => truncateSync(at(made, `${DB}.sig`)),
      ["no-signature core.db.sig", "no-signature core.db.tar.gz.sig", "missing"],
    ],
    [
      "a second packet behind our signature",
      (made) => appendFileSync(at(made, `${DB}.sig`), readFileSync(at(made, `${FILES}.sig`))),
      ["made-elsewhere core.db.sig", "made-elsewhere core.db.tar.gz.sig", "missing"],
    ],
    [
      "a bit of the signature's numbers changed",
      (made) => {
        const bytes = readFileSync(at(made, `${DB}.sig`));
        bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
        writeFileSync(at(made, `${DB}.sig`), bytes);
      },
      [
        "not-in-log core.db.sig",
        "bad-signature core.db.sig",
        "not-in-log core.db.tar.gz.sig",
        "bad-signature core.db.tar.gz.sig",
        "missing",
      ],
    ],
  ];

  test.each(cases)("%s", async (_what, fraud, expected) => {
    const made = await published();
    await fraud(made);
    expect(await made.findings()).toEqual(expected);
  });

  test("a database signed by the same key with gpg, outside of the log", async () => {
    const made = await published();
    await gpg.importKey(readFileSync(made.host.config.keys.get("repo" as never)?.file ?? ""));
    writeFileSync(at(made, DB), newer);
    rmSync(at(made, `${DB}.sig`));
    const fingerprint = (await made.host.host.loadKey("repo" as never)).fingerprint;
    const signed = await gpg.run([
      "-u",
      `${fingerprint}!`,
      "--output",
      at(made, `${DB}.sig`),
      "--detach-sign",
      at(made, DB),
    ]);
    expect(signed.status, signed.stderr).toBe(0);
    expect(await made.findings()).toEqual([
      "made-elsewhere core.db.sig",
      "made-elsewhere core.db.tar.gz.sig",
      "missing",
    ]);
  });

  test("signatures of a fork of the log, made with the same keys after it was set back", async () => {
    const made = await published();
    const kept = `${made.host.stateDirectory}.kept`;
    cpSync(made.host.stateDirectory, kept, { recursive: true });
    await made.publish(DB, newer);
    await made.publish("community.db.tar.gz", newer);
    await growTo(reopen(kept), 7);
    const args = ["--state", kept, "audit", made.tree, "--openpgp", made.openpgp];
    // The first one was made on what both have in common.
    expect(codesOf(await signerLog([...args, "--json"]))).toEqual([
      "other-log community.db.tar.gz.sig",
      "not-in-log core.db.sig",
      "not-in-log core.db.tar.gz.sig",
      "missing",
    ]);
    expect((await signerLog(args)).text.match(/our key made it over the file beside it/g)).toHaveLength(3);
  });
});

describe("a signature's time", () => {
  test("that is over is found, but not that of a backup", async () => {
    const rules = rule({ id: "short", type: "db", signature_expires: "20 hours" });
    const made = await publishRepository(cleanup, repository, rules);
    await made.publish(DB, newer);
    backUp(made.tree, DB);
    made.exportLog();
    expect(await made.findings()).toEqual(["expired core.db.tar.gz.sig"]);
    expect((await made.audit()).text).toContain("it expired at 2026-11-24T08:01:00Z\n");
  });

  test("must be one at which the key could sign, as its certificate says", async () => {
    const made = await published();
    const openpgp = await import("openpgp");
    const certificate = await openpgp.readKey({ armoredKey: readFileSync(made.openpgp, "utf8") });
    for (const subkey of certificate.subkeys) subkey.bindingSignatures = [];
    writeFileSync(made.openpgp, certificate.armor());
    expect(await made.findings()).toEqual(
      [DB, FILES].flatMap((name) =>
        [name.replace(".tar.gz", ""), name].map((file) => `key-unusable ${file}.sig`),
      ),
    );
  });
});

test.each([
  ["core.db.tar.gz", "core.db.tar.gz", true],
  ["core.db.tar.gz", "core.db", true],
  ["core.db", "core.db.tar.gz", true],
  ["core.files.tar.zst", "core.files", true],
  ["core.db.tar.gz", "core.db.tar.zst", false],
  ["core.db.tar.gz", "core.files", false],
  ["core.db.tar.gz", "extra.db", false],
  ["core.db", "extra.db.tar.gz", false],
  ["a.iso", "a.iso", true],
  ["a.iso", "b.iso", false],
  ["odd", "odd", true],
  ["odd", "core.db", false],
])("what was signed as %s may be called %s: %s", (signed, file, fits) => {
  expect(fitsName(signed, file)).toBe(fits);
});

describe("a log that does not hold", () => {
  /** Audits, and expects nothing but the log to be found. */
  async function expectBroken(made: Published, why: RegExp): Promise<void> {
    rmSync(at(made, `${DB}.sig`)); // which then is not spoken of
    rmSync(at(made, "core.db.sig"));
    expect(await made.findings()).toEqual(["log-broken"]);
    const { text } = await made.audit();
    expect(text).toMatch(why);
    expect(text).toContain("nothing in the tree was compared with the log\n");
  }
  const bundle = ({ tiles }: Published, size = 4) => join(tiles, `tile/entries/000.p/${size}`);

  test.each([
    ["the last", '"rule":"any-files"', '"rule":"any-filez"', /not the ones that its checkpoint was made of/],
    ["an earlier", '"rule":"any-db"', '"rule":"any-dc"', /made for another log than the entries before it/],
  ])("%s entry changed in the exported copy", async (_which, before, after, why) => {
    const made = await published();
    const bytes = readFileSync(bundle(made)).toString("latin1").replace(before, after);
    writeFileSync(bundle(made), bytes, "latin1");
    await expectBroken(made, why);
  });

  test("the last entry removed from the exported copy", async () => {
    const made = await published();
    const bytes = readFileSync(bundle(made));
    let last = 0;
    for (let at = 0; at < bytes.length; at += 2 + bytes.readUInt16BE(at)) last = at;
    writeFileSync(bundle(made), bytes.subarray(0, last));
    await expectBroken(made, /000\.p\/4 of the exported log is no bundle of 4 entries/);
  });

  test("a bundle missing", async () => {
    const made = await published();
    rmSync(bundle(made));
    await expectBroken(made, /000\.p\/4 of the exported log: it cannot be read \(ENOENT\)/);
  });

  test("a bundle that is a FIFO", async () => {
    const made = await published();
    rmSync(bundle(made));
    await runOk("mkfifo", [bundle(made)]);
    await expectBroken(made, /no regular file/);
  });

  test("another log's checkpoint", async () => {
    const made = await published();
    const other = await published();
    copyFileSync(join(other.tiles, "checkpoint"), join(made.tiles, "checkpoint"));
    await expectBroken(made, /its checkpoint is not signed by the key/);
  });

  test("a checkpoint of an earlier head, from before the tree's signatures: they are not in that log", async () => {
    const made = await published();
    const old = {
      checkpoint: readFileSync(join(made.tiles, "checkpoint")),
      bundle: readFileSync(bundle(made)),
    };
    await made.publish(DB, newer);
    made.exportLog();
    writeFileSync(join(made.tiles, "checkpoint"), old.checkpoint);
    writeFileSync(bundle(made), old.bundle);
    expect(await made.findings()).toEqual([
      "not-in-log core.db.sig",
      "not-in-log core.db.tar.gz.sig",
      "missing",
    ]);
  });

  test("a witness that cosigned it is asked for, and its word is kept to", async () => {
    const made = await published();
    const witness = newWitness();
    const key = ["--witness", encodeVerifierKey(witness.key)];
    expect(await made.findings(...key)).toEqual(["not-cosigned"]);
    acknowledge(made.host.stateDirectory, witness);
    made.exportLog();
    expect(await made.findings(...key)).toEqual([]);
    expect((await made.audit(...key)).text).toContain(
      "witness.example.net/w1 vouches for the first 4 of them, at 2026-11-23T12:01:00Z\n",
    );
    // The host's own log keeps the cosigned head when it has grown.
    await made.publish(DB, newer);
    const args = ["--state", made.host.stateDirectory, "audit", made.tree, "--openpgp", made.openpgp, ...key];
    const { status, text } = await signerLog(args);
    expect(status).toBe(0);
    expect(text).toContain("2 signatures in the tree beyond what a witness vouches for\n");
  });
});

describe("what need not be in the tree", () => {
  test("is what --ignore names, what is older than --since or newer than --until", async () => {
    const made = await published();
    await made.sign("gone.db.tar.gz", newer);
    await made.sign(DB, newest);
    made.exportLog();
    expect(await made.findings()).toEqual(["missing", "outdated core.db.tar.gz.sig"]);
    expect(await made.findings("--ignore", "gone*", "--ignore", "core.db*")).toEqual([]);
    expect(await made.findings("--until", "2026-11-23T12:03:00Z")).toEqual([]);
    expect(await made.findings("--since", "2026-11-23T12:04:00Z")).toEqual(["outdated core.db.tar.gz.sig"]);
    expect((await made.audit("--ignore", "*")).text).toContain(
      "0 names looked for in the tree, 3 excused by the options\n",
    );
  });

  test("is an older state in another folder, which is told", async () => {
    const made = await published();
    mkdirSync(at(made, "attic"));
    for (const suffix of ["", ".sig"]) copyFileSync(at(made, DB + suffix), at(made, `attic/${DB}${suffix}`));
    await made.publish(DB, newer);
    made.exportLog();
    expect(await made.findings()).toEqual([]);
    expect((await made.audit()).text).toContain(
      `an older state, its newest being elsewhere in the tree: attic/${DB}.sig\n`,
    );
  });
});

describe("a hostile tree", () => {
  test("with loops, FIFOs, huge files and names for a terminal is read to its end", async () => {
    const made = await published();
    symlinkSync(".", at(made, "loop"));
    symlinkSync("self.sig", at(made, "self.sig"));
    symlinkSync("/", at(made, "root"));
    symlinkSync("nowhere", at(made, "dangling"));
    await runOk("mkfifo", [at(made, "fifo.sig"), at(made, "core.db.fifo")]);
    copyFileSync(at(made, `${DB}.sig`), at(made, "core.db.fifo.sig"));
    writeFileSync(at(made, "huge.sig"), "");
    truncateSync(at(made, "huge.sig"), 2 ** 40);
    mkdirSync(at(made, "folder.sig"));
    copyFileSync(at(made, `${DB}.sig`), at(made, "\u001b[2J\u009b1m.sig"));
    const { text, status } = await made.audit();
    expect(status).toBe(65);
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
    expect(text).toContain("not looked at: root, a link to a folder outside of the tree\n");
    expect(await made.findings()).toEqual([
      "no-file \u001b[2J\u009b1m.sig",
      "wrong-name \u001b[2J\u009b1m.sig",
      "unreadable core.db.fifo.sig",
      "wrong-name core.db.fifo.sig",
      "unreadable fifo.sig",
      "unreadable huge.sig",
      "unreadable self.sig",
    ]);
  });

  test("with a name that is not in UTF-8 is told to hold one", async () => {
    const made = await published();
    await runOk("bash", ["-c", `cp '${at(made, DB)}.sig' '${made.tree}/'$'\\xff.sig'`]);
    expect(await made.findings()).toEqual(["unreadable \ufffd.sig"]);
  });
});

describe("a command line that cannot be meant", () => {
  test.each([
    ["a key that is none", ["--key", "x"]],
    ["a witness that is none", ["--witness", "x"]],
    ["an OpenPGP key that cannot be read", ["--openpgp", "/nonexistent"]],
    ["an OpenPGP key that is none", ["--openpgp", "/etc/passwd"]],
    ["a name that is none", ["--ignore", "a/b"]],
  ])("is refused: %s", async (_what, args) => {
    const made = await publishRepository(cleanup, repository);
    expect((await made.audit(...args)).status).toBe(64);
  });

  test("is refused: an exported log without its key, two logs", async () => {
    const made = await published();
    const args = ["audit", made.tree, "--openpgp", made.openpgp, "--tiles", made.tiles];
    expect((await signerLog(args)).status).toBe(64);
    expect((await signerLog(["--state", made.host.stateDirectory, ...args, "--key", made.key])).status).toBe(
      64,
    );
  });

  test("is a fault: a tree or a log that is not there", async () => {
    const made = await published();
    const keys = ["--openpgp", made.openpgp, "--key", made.key];
    expect((await signerLog(["audit", "/nonexistent", ...keys, "--tiles", made.tiles])).status).toMatch(
      /^no-state:/,
    );
    expect((await signerLog(["audit", made.tree, ...keys, "--tiles", made.tree])).status).toMatch(
      /^no-state:/,
    );
  });
});

test("the program itself says what it found, and ends with 65", async () => {
  const made = await published();
  writeFileSync(at(made, DB), newer);
  const args = ["--state", made.host.stateDirectory, "audit", made.tree, "--openpgp", made.openpgp];
  const ended = await run(join(import.meta.dirname, "../../../bin/signer-log"), args);
  expect(ended.status).toBe(65);
  expect(ended.stderr).toBe("signer-log: audit-failed: 2 findings: the tree and the log do not agree\n");
});
