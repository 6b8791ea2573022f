import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { startLogHost } from "../support/log-host-over-ssh.ts";
import { type Ended, run } from "../support/run.ts";
import {
  codeOf,
  collect,
  makeSigningHost,
  readLog,
  rule,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tarArchive, tarEntry } from "../support/tar-fixture.ts";
import { tempDir } from "../support/temp-dir.ts";

const TARS = ["tar", "bsdtar", "busybox tar"] as const;
const FILES = ["core.db.tar.gz", "core.files.tar.gz", `${"x".repeat(120)}.db.tar.gz`] as const;

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
let ssh: SshSigner;
let gpg: Gpg;

beforeAll(async () => {
  const rules = [
    rule({ id: "db", type: "db" }),
    rule({ id: "files", type: "files" }),
    rule({ id: "limited", client: "limited", type: "db", limits: ["2 per day"] }),
  ];
  host = await makeSigningHost(cleanup, {
    rules: rules.join(""),
    settings: `deadlines = { idle = "2 s", total = "1 min" }`,
  });
  [ssh, gpg] = await Promise.all([serveOverSsh(cleanup, host, ["repos", "limited"]), startGpg(cleanup)]);
  await gpg.importKey(await host.publicKey());
});
afterAll(() => cleanup.run());

let seed = 0;
/** A database, each time another one. */
function database(name: string): Buffer {
  seed += 1;
  return buildDatabase({ packages: 2, kind: name.includes(".files") ? "files" : "db", seed });
}

/** A folder with the files to sign. */
async function makeFiles(names: readonly string[]): Promise<string> {
  const folder = await tempDir(cleanup);
  for (const name of names) await writeFile(join(folder, name), database(name));
  return folder;
}

/** `PACK | ssh signer batch | UNPACK`, in bash with pipefail; the exit statuses of the three come on the last line. */
async function pipeline(folder: string, pack: string, unpack: string): Promise<Ended & { statuses: string }> {
  const script = `set -o pipefail; ${pack} | ssh -F "$0" signer batch | ${unpack}; s=$? p="\${PIPESTATUS[*]}"; echo "$p"; exit $s`;
  const ended = await run("/bin/bash", ["-c", script, ssh.clientConfig], { cwd: folder });
  return { ...ended, statuses: ended.stdout.toString().trim().split("\n").at(-1) ?? "" };
}

async function expectSigned(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const [signature, bytes] = await Promise.all(
      [`${name}.sig`, name].map((file) => readFile(join(folder, file))),
    );
    expect(await gpg.verify(signature ?? Buffer.alloc(0), bytes ?? Buffer.alloc(0)), name).toMatchObject({
      good: true,
    });
  }
}

function batchOf(files: Readonly<Record<string, Buffer>>): Buffer {
  return tarArchive(Object.entries(files).map(([name, content]) => ({ name, content })));
}

describe.each(TARS)("%s on the repository server", (tar) => {
  test("packs files, and unpacks their signatures, in the order and under the times of the entries", async () => {
    const folder = await makeFiles(FILES);
    const before = host.requests().length;
    const ended = await pipeline(folder, `${tar} -cf - ${FILES.join(" ")}`, `${tar} -xvf -`);
    expect(ended).toMatchObject({ status: 0, statuses: "0 0 0" });
    await expectSigned(folder, FILES);
    const entries = host.requests().slice(before);
    expect(entries.map((entry) => [entry.kind, "name" in entry && entry.name])).toEqual(
      FILES.map((name) => ["signed", name]),
    );
  });

  test("fails over a refusal in the middle, with and without pipefail", async () => {
    const folder = await makeFiles([FILES[0], FILES[2]]);
    await writeFile(join(folder, FILES[1]), "no database");
    const ended = await pipeline(folder, `${tar} -cf - ${FILES.join(" ")}`, `${tar} -xf -`);
    expect(ended.statuses).toMatch(/^\d+ 65 [12]$/);
    expect(ended.stderr).toContain(`signer: not-recognised: ${FILES[1]}: `);
    expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code: "not-recognised", name: FILES[1] });
    await expectSigned(folder, [FILES[0]]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".sig"))).toEqual([`${FILES[0]}.sig`]);
  });

  test("fails over a refusal of the first file", async () => {
    const folder = await makeFiles([]);
    await writeFile(join(folder, FILES[0]), "no database");
    const ended = await pipeline(folder, `${tar} -cf - ${FILES[0]}`, `${tar} -xf -`);
    expect(ended.statuses).toMatch(/^\d+ 65 [12]$/);
    expect(await readdir(folder)).toEqual([FILES[0]]);
  });

  test("fails over what a host that was killed between two files had written", async () => {
    const child = host.startAccept({ command: "batch" });
    const ended = collect(child);
    child.stdin.on("error", () => undefined);
    child.stdin.write(tarEntry({ name: "core.db.tar.gz", content: database("core.db") }));
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    const { stdout } = await ended;
    expect(stdout.length % 512).toBe(511);
    const cwd = await tempDir(cleanup);
    expect((await run("/bin/sh", ["-c", `${tar} -xf -`], { cwd, stdin: stdout })).status).not.toBe(0);
  });
});

test("bsdtar's pax headers with times, and a large blocking factor of GNU tar, are read", async () => {
  const folder = await makeFiles(FILES);
  for (const pack of [
    "bsdtar --format=pax -cf -",
    "tar --format=posix -cf -",
    "tar --format=ustar -b 512 -cf -",
  ]) {
    const files = pack.includes("ustar") ? FILES.slice(0, 2) : FILES;
    const ended = await pipeline(folder, `${pack} ${files.join(" ")}`, "tar -xf -");
    expect(ended, pack).toMatchObject({ statuses: "0 0 0" });
    await expectSigned(folder, files);
  }
});

test("who asked is noted beside each entry", async () => {
  const files = { "a.db.tar.gz": database("a.db"), "b.db.tar.gz": database("b.db") };
  expect(await host.accept({ command: "batch --for alice", stdin: batchOf(files) })).toMatchObject({
    status: 0,
    stderr: "",
  });
  const reader = LogReader.open(host.stateDirectory);
  cleanup.add(() => reader.close());
  for (const back of [1, 2]) expect(reader.privateRecord(reader.size - back)).toMatchObject({ for: "alice" });
});

test("each file takes a place in the limits of its rule, and the first one over a limit ends the batch", async () => {
  const names = ["a.db.tar.gz", "b.db.tar.gz", "c.db.tar.gz", "d.db.tar.gz"];
  const files = Object.fromEntries(names.map((name) => [name, database(name)]));
  const before = host.requests().length;
  const ended = await ssh.ssh("batch", { client: "limited", stdin: batchOf(files) });
  expect(ended.status).toBe(75);
  expect(codeOf(ended)).toBe("over-limit");
  expect(ended.stderr).toContain("over-limit: c.db.tar.gz: 2 per day is used up");
  expect(
    host
      .requests()
      .slice(before)
      .map(({ kind }) => kind),
  ).toEqual(["signed", "signed", "refused"]);

  const again = await ssh.ssh("batch", {
    client: "limited",
    stdin: batchOf(Object.fromEntries(Object.entries(files).slice(0, 2))),
  });
  expect(again, "the same again").toMatchObject({ status: 0, stderr: "" });
  expect(
    host
      .requests()
      .slice(-2)
      .map(({ kind }) => kind),
  ).toEqual(["reissued", "reissued"]);
});

test("a client without a rule, one from nowhere, and wrong words get a broken archive before a byte is read", async () => {
  for (const [call, code, status] of [
    [{ client: "nobody" }, "unknown-client", 77],
    [{ client: "repos", address: "not an address" }, "foreign-address", 77],
    [{ command: "batch --for Alice B" }, "bad-request", 64],
    [{ command: "batch core.db.tar.gz" }, "bad-request", 64],
  ] as const) {
    const ended = await host.accept({ command: "batch", ...call });
    expect([codeOf(ended), ended.status]).toEqual([code, status]);
    expect(ended.stdout).toHaveLength(768);
    expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code });
  }
});

test.each([
  ["no archive", Buffer.alloc(0), "empty-input"],
  ["a folder", tarArchive([{ name: "core/", type: "5" }]), "bad-archive"],
  ["a path", tarArchive([{ name: "./core.db.tar.gz", content: "x" }]), "bad-archive"],
])("%s is refused and logged", async (_, stdin, code) => {
  const ended = await host.accept({ command: "batch", stdin });
  expect([codeOf(ended), ended.status]).toEqual([code, 65]);
  expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code });
});

test("a byte after the end is refused when the signatures are out already, and their archive does not end well", async () => {
  const stdin = Buffer.concat([batchOf({ "core.db.tar.gz": database("core.db") }), Buffer.from("x")]);
  const ended = await host.accept({ command: "batch", stdin });
  expect(codeOf(ended)).toBe("trailing-data");
  const folder = await tempDir(cleanup);
  expect((await run("tar", ["-xf", "-"], { cwd: folder, stdin: ended.stdout })).status).toBe(2);
});

test.each([true, false])(
  "a log host (required: %s) has every entry, over one connection",
  async (required) => {
    const signing = await makeSigningHost(cleanup);
    const logHost = await startLogHost(cleanup, signing, { required });
    const connections = join(await tempDir(cleanup), "connections");
    await logHost.runs(`echo >> ${connections}; exec $RECEIVE`);
    const files = Object.fromEntries([1, 2, 3, 4].map((index) => [`f${index}.db.tar.gz`, database("db")]));
    const ended = await signing.accept({ command: "batch", stdin: batchOf(files) });
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(await readFile(connections, "utf8")).toBe("\n");
    expect(readLog(logHost.directory)).toEqual(signing.entries());
  },
);

test("a required log host that is not there: 69, and nothing signed", async () => {
  const signing = await makeSigningHost(cleanup);
  const logHost = await startLogHost(cleanup, signing);
  await logHost.runs("exit 78");
  const stdin = batchOf({ "core.db.tar.gz": database("db"), "extra.db.tar.gz": database("db") });
  const ended = await signing.accept({ command: "batch", stdin });
  expect([codeOf(ended), ended.status]).toEqual(["remote-log-unavailable", 69]);
  expect(ended.stderr).toContain("core.db.tar.gz: the remote log loghost did not answer");
  expect(signing.requests()).toEqual([]);
  expect(ended.stdout).toHaveLength(768);
});

test("a signature is on its way before the next file comes", async () => {
  const child = host.startAccept({ command: "batch" });
  cleanup.add(() => void child.kill("SIGKILL"));
  child.stdin.write(tarEntry({ name: "core.db.tar.gz", content: database("core.db") }));
  const [header] = (await once(child.stdout, "data")) as [Buffer];
  expect(header.toString("latin1", 0, 18)).toBe("core.db.tar.gz.sig");
  const ended = collect(child);
  child.stdin.end(Buffer.alloc(1024));
  expect(await ended).toMatchObject({ status: 0, stderr: "" });
});

test("a client that is killed in the middle of a file gets nothing for it signed", async () => {
  const child = host.startAccept({ command: "batch" });
  const [first, second] = ["core.db.tar.gz", "extra.db.tar.gz"].map((name) =>
    tarEntry({ name, content: database(name) }),
  );
  const signed = once(child.stdout, "data");
  const ended = collect(child);
  child.stdin.write(first);
  await signed;
  child.stdin.end(second?.subarray(0, 600));
  child.stdout.destroy();
  expect([65, 74]).toContain((await ended).status);
  expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code: "truncated" });
});

test("a client that stalls is timed out: within a file the line names it", async () => {
  const bytes = batchOf({ "core.db.tar.gz": database("core.db") });
  for (const [length, text] of [
    [0, "signer: timed-out: not one byte came for 2 s"],
    [600, "signer: timed-out: core.db.tar.gz: not one byte came for 2 s"],
  ] as const) {
    const child = host.startAccept({ command: "batch" });
    cleanup.add(() => void child.kill("SIGKILL"));
    child.stdin.write(bytes.subarray(0, length));
    const ended = await collect(child);
    expect(ended.status).toBe(75);
    expect(ended.stderr).toContain(text);
  }
});

test("a client that leaves its signatures unread is given up", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 250 }, (_, index) => [`f${index}.db.tar.gz`, database("db")]),
  );
  const child = host.startAccept({ command: "batch" });
  cleanup.add(() => void child.kill("SIGKILL"));
  child.stdin.on("error", () => undefined);
  child.stdin.end(batchOf(files));
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [status] = (await once(child, "exit")) as [number];
  child.stdout.destroy();
  expect(stderr).toContain("signer: reply-not-delivered: the client is gone");
  expect(status).toBe(74);
});
