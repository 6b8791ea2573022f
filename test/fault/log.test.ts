import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { Ledger } from "../../src/log/ledger.ts";
import { entriesOf, freshDirectory, ORIGIN, verdict } from "../log/fixture.ts";
import { type Ended, run } from "../support/run.ts";
import { hasStrace } from "../support/strace.ts";

const NODE = process.execPath;
/** log-worker.ts in one file: hundreds are started here, and from TypeScript each would take five times as long. */
let WORKER = "";
const bundled = mkdtempSync(join(tmpdir(), "signer-log-worker-"));

beforeAll(() => {
  const source = join(import.meta.dirname, "log-worker.ts");
  execFileSync("node_modules/.bin/rolldown", [
    source,
    "--platform",
    "node",
    "--format",
    "esm",
    "-d",
    bundled,
  ]);
  writeFileSync(join(bundled, "package.json"), '{"type":"module"}');
  WORKER = join(bundled, "log-worker.js");
});

afterAll(() => rmSync(bundled, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;

/** What a worker said: the signatures that it could have delivered, and how it ended (undefined: killed). */
function said({ stdout, stderr }: Pick<Ended, "stdout" | "stderr">): {
  signed: readonly (readonly [number, string])[];
  end: string | undefined;
} {
  if (stderr.includes("Error")) throw new Error(`the worker failed: ${stderr}`);
  const lines = stdout.toString().split("\n").slice(0, -1);
  const signed = lines.filter((line) => line.startsWith("signed ")).map((line) => line.split(" "));
  return {
    signed: signed.map(([, seq, sha256]) => [Number(seq), sha256 ?? ""] as const),
    end: lines.find((line) => !line.startsWith("signed ")),
  };
}

async function work(
  directory: string,
  count: number | "create",
  limit = 1_000_000,
  prefix: readonly string[] = [],
  callers = 1,
) {
  const call = [NODE, WORKER, directory, String(count), String(limit), String(callers)];
  const [command = NODE, ...args] = [...prefix, ...call];
  return said(await run(command, args));
}

function newState(directory = join(freshDirectory(), "state")): string {
  Ledger.create(directory, { origin: ORIGIN, now: new Date() }).close();
  return directory;
}

/** The log agrees with itself and holds every signature that could have been delivered. */
function expectAllLogged(directory: string, signed: readonly (readonly [number, string])[]): void {
  expect(verdict(directory)).toBe("sound");
  const entries = entriesOf(directory);
  for (const [seq, sha256] of signed) expect(entries[seq]).toMatchObject({ kind: "signed", sha256 });
}

/** A file system of its own, of so many KiB; undefined where this account may not mount. */
function tmpfs(kib: number): string | undefined {
  if (!isRoot) return undefined;
  const path = freshDirectory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", path], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  onTestFinished(() => {
    execFileSync("umount", ["-l", path]);
  });
  return path;
}

describe("a full disk", () => {
  test("means no signature from then on, a log that agrees with itself, and signatures again when there is room", async (context) => {
    const disk = tmpfs(512);
    if (disk === undefined) return context.skip("only root may mount a small file system");
    const directory = newState(join(disk, "state"));
    writeFileSync(join(disk, "ballast"), Buffer.alloc(128 * 1024));
    const { signed, end } = await work(directory, 10_000);
    expect(end).toBe("fault log-not-durable");
    expect(signed.length).toBeGreaterThan(0);
    const again = await work(directory, 1);
    expect(again).toEqual({ signed: [], end: "fault log-not-durable" });
    rmSync(join(disk, "ballast"));
    const later = await work(directory, 2);
    expect(later.end).toBe("done");
    expectAllLogged(directory, [...signed, ...later.signed]);
  });

  test("in the middle of a write, by a limit on the size of files, is the same", async () => {
    const directory = newState();
    const limit = statSync(join(directory, "log.db")).size + 100_000;
    const { signed, end } = await work(directory, 10_000, undefined, ["prlimit", `--fsize=${limit}`]);
    expect(end).toBe("fault log-not-durable");
    expect(signed.length).toBeGreaterThan(0);
    const later = await work(directory, 2);
    expect(later.end).toBe("done");
    expectAllLogged(directory, [...signed, ...later.signed]);
  });
});

test("a full disk means no signature of any of the callers that share a commit, and no other is lost", async () => {
  const directory = newState();
  const limit = statSync(join(directory, "log.db")).size + 100_000;
  const { signed, end } = await work(directory, 10_000, undefined, ["prlimit", `--fsize=${limit}`], 16);
  expect(end).toBe("fault log-not-durable");
  expect(signed.length).toBeGreaterThan(0);
  const later = await work(directory, 2);
  expect(later.end).toBe("done");
  expectAllLogged(directory, [...signed, ...later.signed]);
});

test("a state directory that cannot be written means no signature", async (context) => {
  const disk = isRoot ? tmpfs(512) : freshDirectory();
  if (disk === undefined) return context.skip("root without leave to mount");
  const directory = newState(join(disk, "state"));
  if (isRoot) execFileSync("mount", ["-o", "remount,ro", disk]);
  else execFileSync("chmod", ["0500", directory]);
  onTestFinished(() => {
    if (!isRoot) execFileSync("chmod", ["0700", directory]);
  });
  expect(await work(directory, 1)).toEqual({ signed: [], end: "fault log-not-durable" });
});

test("a missing database is refused and not made, with its directory there or not", async () => {
  const directory = newState();
  rmSync(join(directory, "log.db"));
  expect((await work(directory, 1)).end).toBe("fault no-state");
  rmSync(directory, { recursive: true });
  expect((await work(directory, 1)).end).toBe("fault no-state");
  mkdirSync(directory);
  expect((await work(directory, 1)).end).toBe("fault no-state");
  expect(() => statSync(join(directory, "log.db"))).toThrow();
});

test.each([1, 16])(
  "a process killed at any moment, with callers at once: %i, leaves a log that agrees with itself and holds all that it could deliver",
  async (callers) => {
    const directory = newState();
    const all: (readonly [number, string])[] = [];
    for (let round = 0; round < 6; round++) {
      const child = spawn(NODE, [WORKER, directory, "100000", "1000000", String(callers)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const chunks: Buffer[] = [];
      child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
      await once(child.stdout, "data");
      setTimeout(() => child.kill("SIGKILL"), 3 + 17 * round);
      await once(child, "close");
      const { signed, end } = said({ stdout: Buffer.concat(chunks), stderr: "" });
      expect(end).toBeUndefined();
      all.push(...signed);
      expectAllLogged(directory, all);
    }
    expect(all.length).toBeGreaterThan(6);
  },
);

test("eighty processes at once on a limit of ten: exactly ten sign, and none of the others is merely unlucky", async () => {
  const directory = newState();
  const ends = await Promise.all(Array.from({ length: 80 }, () => work(directory, 1, 10)));
  const signed = ends.flatMap((each) => each.signed);
  expect(ends.map(({ end }) => end).sort()).toEqual([
    ...Array(10).fill("done"),
    ...Array(70).fill("refused over-limit"),
  ]);
  expect(signed.map(([seq]) => seq).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(entriesOf(directory)).toHaveLength(11);
  expectAllLogged(directory, signed);
});

test("six processes of twenty callers each at once on a limit of ten: exactly ten sign", async () => {
  const directory = newState();
  const ends = await Promise.all(Array.from({ length: 6 }, () => work(directory, 1, 10, [], 20)));
  expect(ends.map(({ end }) => end)).toEqual(Array(6).fill("refused over-limit"));
  const signed = ends.flatMap((each) => each.signed);
  expect(signed.map(([seq]) => seq).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(entriesOf(directory)).toHaveLength(11);
  expectAllLogged(directory, signed);
});

test("of several processes that make the same log at once, one does, and nobody's key ends up beside another's log", async () => {
  const directory = join(freshDirectory(), "state");
  const ends = await Promise.all(Array.from({ length: 12 }, () => work(directory, "create")));
  expect(ends.filter(({ end }) => end === "done")).toHaveLength(1);
  for (const { end } of ends) expect(["done", "fault bad-configuration", "fault log-broken"]).toContain(end);
  expect(readdirSync(directory).sort()).toEqual(["log.db", "log.key"]);
  expectAllLogged(directory, (await work(directory, 1)).signed);
});

describe("at each single call to the operating system that touches the log,", () => {
  /** Calls that change files or make them durable; each of a worker's is made to fail, or to be its last. */
  const CALLS = ["pwrite64", "fsync", "ftruncate", "unlink"];

  /** How often a worker that signs once makes each call on the files of the log. */
  async function counted(call: string): Promise<number> {
    const directory = newState();
    const { stderr } = await run("strace", [
      "-f",
      ...paths(directory),
      "-e",
      `trace=${call}`,
      NODE,
      WORKER,
      directory,
      "1",
    ]);
    return stderr.split("\n").filter((line) => line.includes(`${call}(`)).length;
  }

  const paths = (directory: string) =>
    ["", "log.db", "log.db-wal", "log.db-shm"].flatMap((file) => ["-P", join(directory, file)]);

  async function inject(call: string, fault: string, nth: number) {
    const directory = newState();
    const strace = [
      "strace",
      "-f",
      "-o",
      "/dev/null",
      ...paths(directory),
      "-e",
      `trace=${call}`,
      "-e",
      `inject=${call}:${fault}:when=${nth}`,
    ];
    const { signed, end } = await work(directory, 1, undefined, strace);
    const after = await work(directory, 1);
    return { directory, signed, end, after };
  }

  test.each(CALLS)(
    "death at %s loses nothing that was delivered, and the next process goes on",
    async (call) => {
      if (!hasStrace()) return;
      const count = await counted(call);
      expect(count).toBeGreaterThan(0);
      for (let nth = 1; nth <= count; nth++) {
        const { directory, signed, after } = await inject(call, "signal=KILL", nth);
        expect(after.end, `${call} ${nth}`).toBe("done");
        expectAllLogged(directory, [...signed, ...after.signed]);
      }
    },
  );

  test.each(CALLS)(
    "an input/output error at %s is a fault or does no harm, never a signature without entry",
    async (call) => {
      if (!hasStrace()) return;
      const count = await counted(call);
      for (let nth = 1; nth <= count; nth++) {
        const { directory, signed, end, after } = await inject(call, "error=EIO", nth);
        if (signed.length === 0) expect(end, `${call} ${nth}`).toBe("fault log-not-durable");
        expect(after.end, `${call} ${nth}`).toBe("done");
        expectAllLogged(directory, [...signed, ...after.signed]);
      }
    },
  );
});
