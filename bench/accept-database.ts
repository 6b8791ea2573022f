import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "../test/support/cleanup.ts";
import { buildDatabase } from "../test/support/database-fixture.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { measure, median, type Program, peakMemory } from "./measure.ts";
import { PATH, type Signers } from "./signing.ts";

const RUNS = 25;
const PACKAGES = 270;

/** One signature of a database like core.db, as a whole process: what a repository server waits for after each update. */
export async function acceptDatabase(cleanup: Cleanup, signers: Signers): Promise<readonly Comparison[]> {
  const folder = await tempDir(cleanup);
  const launcher = await makeLauncherAlone(folder);
  const emptyScript = join(folder, "empty.cjs");
  await writeFile(emptyScript, "");
  // A new database each time: the same again would be answered from the log.
  const databases = await Promise.all(
    Array.from({ length: RUNS + 2 }, (_, index) => makeDatabase(folder, index)),
  );
  const nextDatabase = () => databases.pop() ?? "";
  const sample = databases[0] ?? "";

  const peakBytes = await peakMemory(signers.accept("core.db.tar.gz", nextDatabase()));
  const times = measure(
    {
      ours: () => signers.accept("core.db.tar.gz", nextDatabase()),
      node: () => ({ command: process.execPath, args: [emptyScript], env: { PATH } }),
      gpg: () => signers.gpg(sample),
      launcher: () => launcher,
    },
    RUNS,
  );
  const of = (name: string) => median(times.get(name) ?? []);
  const what = `accept of a database of ${PACKAGES} packages`;
  return [
    {
      what,
      peer: "the same Node, empty script",
      ours: of("ours"),
      theirs: of("node"),
      aim: 2.5,
      peakBytes,
    },
    { what, peer: "gpg --detach-sign", ours: of("ours"), theirs: of("gpg") },
    {
      what: "of it the launcher",
      peer: "the same Node, empty script",
      ours: of("launcher"),
      theirs: of("node"),
    },
  ];
}

async function makeDatabase(folder: string, index: number): Promise<string> {
  const file = join(folder, `${index}.db.tar.gz`);
  await writeFile(file, buildDatabase({ packages: PACKAGES, kind: "db", seed: index + 1 }));
  return file;
}

/** The real launcher, in an installation whose runtime is true(1). */
async function makeLauncherAlone(folder: string): Promise<Program> {
  const bin = join(folder, "bin");
  const runtime = join(folder, "node_modules", ".bin");
  await cp(join(import.meta.dirname, "..", "bin"), bin, { recursive: true });
  await mkdir(runtime, { recursive: true });
  await symlink("/bin/true", join(runtime, "node"));
  const env = {
    PATH,
    SSH_CONNECTION: "127.0.0.1 40000 127.0.0.1 22",
    SSH_ORIGINAL_COMMAND: "core.db.tar.gz",
  };
  return { command: join(bin, "signer"), args: ["accept", "--client", "repos"], env };
}
