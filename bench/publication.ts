import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleanup } from "../test/support/cleanup.ts";
import { type Gpg, startGpg } from "../test/support/gpg.ts";
import { makePackage } from "../test/support/packages.ts";
import { runOk } from "../test/support/run.ts";
import { makeSigningHost, serveOverSsh } from "../test/support/signing-host.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { median } from "./measure.ts";
import { PATH } from "./signing.ts";

const REPO_ADD = join(import.meta.dirname, "..", "bin", "signer-repo-add");
const UPDATES = 20;

/** One way to publish a new state of a repository, in a folder of its own. */
interface Way {
  readonly folder: string;
  readonly command: string;
  readonly env: NodeJS.ProcessEnv;
  /** Has the keys of both ways. */
  readonly gpg: Gpg;
}

interface Published {
  readonly timesMs: readonly number[];
  readonly polls: number;
  /** Polls that got a database with no signature, or not with its own. */
  readonly mismatches: number;
}

/** How often a client that reads all the time gets a database without its signature, while the repository is updated. */
export async function publication(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const gpg = await startGpg(cleanup);
  await gpg.generateKey("Bench <bench@example.org>");
  const host = await makeSigningHost(cleanup);
  const { clientConfig } = await serveOverSsh(cleanup, host);
  const etc = await tempDir(cleanup);
  const armored = await host.publicKey();
  await gpg.importKey(armored);
  writeFileSync(join(etc, "repo.asc"), armored);
  writeFileSync(
    join(etc, "client.toml"),
    `host = "signer"\nssh_config = "${clientConfig}"\npublic_key = "${join(etc, "repo.asc")}"\n`,
  );
  const ours = await publishing(cleanup, {
    folder: await tempDir(cleanup),
    command: REPO_ADD,
    env: { PATH, LC_ALL: "C", SIGNER_CLIENT_CONFIG: join(etc, "client.toml") },
    gpg,
  });
  const theirs = await publishing(cleanup, {
    folder: await tempDir(cleanup),
    command: "repo-add",
    env: { PATH, LC_ALL: "C", GNUPGHOME: gpg.home },
    gpg,
  });
  const share = ({ polls, mismatches }: Published) => `${mismatches} of ${polls} polls`;
  const peer = "repo-add --sign";
  return [
    {
      what: `signer-repo-add, mismatches in ${UPDATES} updates (${share(ours)})`,
      peer: `${peer} (${share(theirs)})`,
      ours: ours.mismatches,
      theirs: theirs.mismatches,
      unit: "polls",
      aim: 0.2,
    },
    {
      what: "signer-repo-add, one update, at most one a second",
      peer,
      ours: median(ours.timesMs),
      theirs: median(theirs.timesMs),
    },
  ];
}

async function publishing(cleanup: Cleanup, { folder, command, env, gpg }: Way): Promise<Published> {
  const seen = join(folder, ".seen");
  mkdirSync(seen);
  const packages: string[] = [];
  for (let release = 0; release <= UPDATES; release += 1) {
    packages.push(await makePackage(folder, "apple", { version: `1.0-${release + 1}` }));
  }
  const publish = async (path: string | undefined) => {
    const sign = command === REPO_ADD ? [] : ["--sign"];
    await runOk(command, ["--quiet", ...sign, join(folder, "example.db.tar.gz"), path ?? ""], {
      env,
      cwd: folder,
    });
  };
  await publish(packages[0]);
  const reader = spawn(
    process.execPath,
    [join(import.meta.dirname, "pair-reader.ts"), join(folder, "example.db"), seen],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  cleanup.add(() => void reader.kill());
  await once(reader.stdout, "data");
  const timesMs: number[] = [];
  for (const path of packages.slice(1)) {
    const began = performance.now();
    await publish(path);
    timesMs.push(performance.now() - began);
  }
  reader.stdin.end();
  let said = "";
  for await (const chunk of reader.stdout) said += String(chunk);
  let polls = 0;
  let mismatches = 0;
  for (const [pair, count] of Object.entries(JSON.parse(said) as Record<string, number>)) {
    polls += count;
    if (!(await isGood(gpg, seen, pair))) mismatches += count;
  }
  return { timesMs, polls, mismatches };
}

async function isGood(gpg: Gpg, folder: string, pair: string): Promise<boolean> {
  const [db = "-", signature = "-"] = pair.split(" ");
  if (db === "-" || signature === "-") return false;
  const read = (name: string) => readFileSync(join(folder, name));
  return (await gpg.verify(read(signature), read(db))).good;
}
