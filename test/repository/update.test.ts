import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Fault, refusal } from "../../src/outcome.ts";
import { makePackage } from "../support/packages.ts";
import { run, runOk } from "../support/run.ts";
import { age, belongs, freshFolder, repositoryAt, standIn, stateOf, update, WHOLE } from "./fixture.ts";

/** A repository of one package, apple 1.0-1, signed, and as if made long ago. */
async function madeRepository(folder = freshFolder(), name = "example.db.tar.gz") {
  const apple = await makePackage(folder, "apple");
  const repository = repositoryAt(name, folder);
  expect(await update([name, apple], { cwd: folder })).toMatchObject({ kind: "done" });
  age(repository);
  return { folder, repository, apple, db: join(folder, name) };
}

async function listed(db: string): Promise<string> {
  const { stdout } = await run("bsdtar", ["-tf", db]);
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line.endsWith("/"))
    .toSorted()
    .join(" ");
}

/** Every file's content, to show that nothing was changed. */
function snapshot(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name) => [name, readFileSync(join(folder, name), "latin1")]),
  );
}

describe("repo-add and repo-remove", () => {
  test("a new repository has both databases, both signatures, and the links that clients ask for", async () => {
    const { folder, repository } = await madeRepository();
    expect(stateOf(repository)).toEqual(WHOLE);
    expect(readlinkSync(join(folder, "example.db"))).toBe("example.db.tar.gz");
    expect(readlinkSync(join(folder, "example.files.sig"))).toBe("example.files.tar.gz.sig");
    expect(readdirSync(folder).toSorted()).toEqual(
      [
        "apple-1.0-1-any.pkg.tar.zst",
        ...["db", "files"].flatMap((kind) => [
          `example.${kind}`,
          `example.${kind}.sig`,
          `example.${kind}.tar.gz`,
          `example.${kind}.tar.gz.sig`,
        ]),
      ].toSorted(),
    );
  });

  test("an update keeps the pair before as .old, and gives both files of a pair one time that grew", async () => {
    const { folder, repository, db } = await madeRepository();
    const before = readFileSync(db);
    const signature = readFileSync(`${db}.sig`);
    const newer = await makePackage(folder, "apple", { version: "2.0-1" });
    expect(await update([db, newer])).toMatchObject({ kind: "done", notes: [] });
    expect(stateOf(repository)).toEqual(WHOLE);
    expect(await listed(db)).toBe("apple-2.0-1/");
    expect(readFileSync(`${db}.old`)).toEqual(before);
    expect(readFileSync(`${db}.old.sig`)).toEqual(signature);
    for (let round = 0; round < 2; round++) {
      const time = statSync(db).mtimeMs;
      expect(time % 1000).toBe(0);
      expect(statSync(`${db}.sig`).mtimeMs).toBe(time);
      expect(await update([db])).toMatchObject({ kind: "done" });
      expect(statSync(db).mtimeMs).toBeGreaterThanOrEqual(time + 1000);
      expect(statSync(db).mtimeMs).toBeLessThanOrEqual(Date.now());
    }
  });

  test("without a package, what is there is signed again, the same bytes", async () => {
    const { repository, db } = await madeRepository();
    const before = readFileSync(db);
    const signature = readFileSync(`${db}.sig`);
    expect(await update(["-s", db])).toMatchObject({ kind: "done" });
    expect(readFileSync(db)).toEqual(before);
    expect(readFileSync(`${db}.sig`)).not.toEqual(signature);
    expect(stateOf(repository)).toEqual(WHOLE);
  });

  test("removing packages, the last one too, leaves a signed repository", async () => {
    const { folder, repository, db } = await madeRepository();
    await update([db, await makePackage(folder, "pear")]);
    age(repository);
    expect(await update([db, "apple"], { program: "repo-remove" })).toMatchObject({ kind: "done" });
    expect(await listed(db)).toBe("pear-1.0-1/");
    age(repository);
    expect(await update([db, "pear"], { program: "repo-remove" })).toMatchObject({ kind: "done" });
    expect(await listed(db)).toBe("");
    expect(stateOf(repository)).toEqual(WHOLE);
  });

  test("-R removes the replaced package and its signature after the publication, whatever the path", async () => {
    const folder = join(freshFolder(), "a repository * of 'quotes'");
    mkdirSync(folder);
    const { apple } = await madeRepository(folder);
    writeFileSync(`${apple}.sig`, "");
    await makePackage(folder, "apple", { version: "2.0-1" });
    const argv = ["-R", "example.db.tar.gz", "./apple-2.0-1-any.pkg.tar.zst"];
    const refused = refusal("over-limit", "tomorrow");
    expect(await update(argv, { cwd: folder, sign: async () => refused })).toMatchObject(refused);
    expect(existsSync(apple)).toBe(true);
    expect(await update(argv, { cwd: folder })).toMatchObject({ kind: "done" });
    expect(existsSync(apple)).toBe(false);
    expect(existsSync(`${apple}.sig`)).toBe(false);
    expect(existsSync(join(folder, "apple-2.0-1-any.pkg.tar.zst"))).toBe(true);
  });

  test("a replaced package that cannot be deleted is a failure, after everything is published", async () => {
    const { folder, repository, apple, db } = await madeRepository();
    rmSync(apple);
    mkdirSync(apple); // unlink(2) of a folder fails, whoever tries
    const newer = await makePackage(folder, "apple", { version: "2.0-1" });
    await expect(update(["-R", db, newer])).rejects.toMatchObject({
      code: "repository-failed",
      message: `published, but could not delete "${apple}: EISDIR"`,
    });
    expect(await listed(db)).toBe("apple-2.0-1/");
    expect(stateOf(repository)).toEqual(WHOLE);
  });

  test("-n, -p and --nocolor are left to repo-add", async () => {
    const { folder, repository, db } = await madeRepository();
    const older = await makePackage(folder, "apple", { version: "0.9-1" });
    expect(await update(["-p", "--nocolor", db, older])).toMatchObject({ kind: "done" });
    expect(await listed(db)).toBe("apple-1.0-1/");
    const rebuilt = await makePackage(folder, "apple", { buildDate: 1_793_534_401 });
    const before = readFileSync(db);
    age(repository);
    expect(await update(["--new", "-q", db, rebuilt])).toMatchObject({ kind: "done" });
    expect(readFileSync(db).equals(before)).toBe(true);
    expect(stateOf(repository)).toEqual(WHOLE);
  });

  test("what repo-add refuses ends with its status, and changes nothing", async () => {
    const { folder, db } = await madeRepository();
    const before = snapshot(folder);
    expect(await update([db, "missing.pkg.tar.zst"])).toMatchObject({ kind: "repo-add-failed", status: 1 });
    expect(await update([db, "pear"], { program: "repo-remove" })).toMatchObject({ status: 1 });
    expect(snapshot(folder)).toEqual(before);
  });
});

test("where repo-add, from 6.1 on, finds nothing to change, signed databases are left as they are, unsigned ones are signed", async () => {
  const { folder, repository, db } = await madeRepository();
  const bin = freshFolder();
  writeFileSync(join(bin, "repo-add"), '#!/bin/sh\n[ "$1 $2" = "--quiet --" ]\n', { mode: 0o755 });
  const before = snapshot(folder);
  const argv = [db, "apple-1.0-1-any.pkg.tar.zst"];
  const ports = { version: "7.1.0", env: { PATH: `${bin}:${process.env["PATH"]}` } };
  expect(await update(argv, ports)).toMatchObject({ kind: "done", told: [] });
  expect(snapshot(folder)).toEqual(before);
  rmSync(`${db}.sig`);
  expect(await update(argv, ports)).toMatchObject({ kind: "done" });
  expect(stateOf(repository)).toEqual(WHOLE);
});

describe("nothing is published, and the lock is free", () => {
  const failures: readonly (readonly [string, Parameters<typeof update>[1]])[] = [
    ["the signer refuses", { sign: async () => refusal("not-permitted", "no rule") }],
    [
      "the signer cannot be reached",
      { sign: () => Promise.reject(new Fault("remote-log-unavailable", "gone")) },
    ],
    ["a signature is missing", { sign: async () => [standIn(Buffer.from("x"))] }],
    ["a signature is empty", { sign: async () => [Buffer.alloc(0), Buffer.alloc(0)] }],
    ["a signature is longer than pacman takes", { sign: async (all) => all.map(() => Buffer.alloc(16_385)) }],
    ["the user ends it", { signal: AbortSignal.abort() }],
    ["the clock is before the last change", { now: () => 1_500_000_000_000 }],
  ];
  test.each(failures)("where %s", async (_, ports) => {
    const { folder, repository, db } = await madeRepository();
    const before = snapshot(folder);
    const newer = await makePackage(folder, "apple", { version: "2.0-1" });
    const ended = await update(["-R", db, newer], ports).catch((error: unknown) => error);
    expect(ended).not.toMatchObject({ kind: "done" });
    rmSync(newer);
    expect(snapshot(folder)).toEqual(before);
    expect(stateOf(repository)).toEqual(WHOLE);
  });

  test.each([
    ["empty", "empty-input", ": > "],
    ["half a database", "truncated", "gzip -c /etc/services | head -c 100 > "],
    ["no database", "bad-archive", "tar -czf - -C /etc services > "],
  ])("where what repo-add made is %s, though it said that all is well", async (_, code, make) => {
    const { folder, repository, db } = await madeRepository();
    const before = snapshot(folder);
    const bin = freshFolder();
    writeFileSync(
      join(bin, "repo-add"),
      `#!/bin/sh
for db; do case $db in *.db.tar.gz) break ;; esac; done
${make}"$db.new"; mv "$db.new" "$db"
`,
      { mode: 0o755 },
    );
    const signed: string[] = [];
    const ended = await update([db, "apple"], {
      env: { PATH: `${bin}:${process.env["PATH"]}` },
      sign: async (files) => {
        signed.push(...files.map(({ name }) => name));
        return refusal("over-limit", "not reached");
      },
    });
    expect(ended).toMatchObject({ kind: "refusal" });
    expect(ended).toHaveProperty("code", code);
    expect(signed).toEqual([]);
    expect(snapshot(folder)).toEqual(before);
    expect(stateOf(repository)).toEqual(WHOLE);
  });
});

test("-v verifies both live signatures first, and nothing is changed where one is not good", async () => {
  const { folder, db } = await madeRepository();
  expect(await update(["-v", db])).toMatchObject({ kind: "done" });
  writeFileSync(join(folder, "example.files.tar.gz.sig"), "of another file");
  const before = snapshot(folder);
  const newer = await makePackage(freshFolder(), "apple", { version: "2.0-1" });
  expect(await update(["-v", db, newer])).toMatchObject({
    kind: "bad-signature",
    name: "example.files.tar.gz",
  });
  expect(snapshot(folder)).toEqual(before);
});

test("group, mode and ACL of the live database are kept, and its signature has them too", async () => {
  const { folder, db } = await madeRepository();
  chmodSync(db, 0o664);
  await runOk("setfacl", ["-m", "user:4711:rw", db]);
  // What a default ACL would give new files is not what the database had.
  await runOk("setfacl", ["-d", "-m", "user:4712:rwx", folder]);
  const group = process.getuid?.() === 0 ? 4713 : process.getgid?.();
  if (group !== undefined) chownSync(db, process.getuid?.() ?? 0, group);
  const acl = async (file: string) =>
    (await runOk("getfacl", ["--omit-header", "--numeric", "--absolute-names", file])).toString();
  const before = await acl(db);
  expect(before).toContain("user:4711:rw-");
  await update([db]);
  for (const file of [db, `${db}.sig`]) {
    expect(await acl(file)).toBe(before);
    expect(statSync(file).gid).toBe(group);
  }
});

test("links that are right are not touched; a real file in a link's place becomes one", async () => {
  const { folder, repository, db } = await madeRepository();
  const inode = lstatSync(join(folder, "example.files")).ino;
  rmSync(join(folder, "example.db"));
  linkSync(db, join(folder, "example.db"));
  rmSync(join(folder, "example.db.sig"));
  symlinkSync("elsewhere", join(folder, "example.db.sig"));
  expect(await update([db])).toMatchObject({ kind: "done" });
  expect(stateOf(repository)).toEqual(WHOLE);
  expect(readlinkSync(join(folder, "example.db"))).toBe("example.db.tar.gz");
  expect(lstatSync(join(folder, "example.files")).ino).toBe(inode);
});

test("an unsigned repository is signed as a whole by the first run", async () => {
  const folder = freshFolder();
  await run("repo-add", ["-q", join(folder, "example.db.tar.gz"), await makePackage(folder, "apple")]);
  const repository = repositoryAt("example.db.tar.gz", folder);
  expect(await update(["example.db.tar.gz"], { cwd: folder })).toMatchObject({ kind: "done" });
  expect(stateOf(repository)).toEqual(WHOLE);
  expect(
    belongs(readFileSync(join(folder, "example.db")), readFileSync(join(folder, "example.db.sig"))),
  ).toBe(true);
});
