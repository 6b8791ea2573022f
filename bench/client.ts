import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "../test/support/cleanup.ts";
import { buildDatabase } from "../test/support/database-fixture.ts";
import { makeSigningHost, SIGNER } from "../test/support/signing-host.ts";
import { type SshServer, startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { makeLargeImage } from "./large-image.ts";
import { measure, median, type NextRun, type Program, peakMemory } from "./measure.ts";
import { PATH } from "./signing.ts";

const CLIENT = join(import.meta.dirname, "..", "bin", "signer-client");
const DATABASES = 20;
const PACKAGES = 250;
const RUNS = 3;

/** What a client takes, its host behind a real sshd: for many databases in one connection, and for one large image. */
export async function throughSsh(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const host = await makeSigningHost(cleanup);
  const command = `${SIGNER} --config ${host.configFile} accept --client repos`;
  const server = await startSshd(cleanup, {
    authorizedKeys: (key) => `restrict,command="${command}" ${key}\n`,
  });
  const folder = await tempDir(cleanup);
  await writeFile(join(folder, "repo.asc"), await host.publicKey());
  return [...inOneBatch(folder, server), ...(await oneImage(cleanup, folder, server))];
}

function inOneBatch(folder: string, server: SshServer): readonly Comparison[] {
  const next = (script: string) => () => shell(script, server, makeDatabases(folder));
  const times = measure(
    {
      ours: next('cd "$2" && tar -cf - * | ssh -F "$1" signer batch > ../answer'),
      peer: next(
        'cd "$2" && for name in *; do ssh -F "$1" signer "$name" < "$name" > ../answer || exit; done',
      ),
    },
    RUNS,
  );
  const of = (name: string) => median(times.get(name) ?? []);
  const what = `${DATABASES} databases of ${PACKAGES} packages, one batch`;
  return [{ what, peer: "each by an ssh of its own", ours: of("ours"), theirs: of("peer") }];
}

let made = 0;

/** A folder of databases that no request has had before: the same again would be answered from the log. */
function makeDatabases(folder: string): string {
  const path = join(folder, `databases-${made}`);
  mkdirSync(path);
  for (let index = 0; index < DATABASES; index += 1) {
    made += 1;
    const database = buildDatabase({ kind: "db", packages: PACKAGES, seed: made, compression: "gzip" });
    writeFileSync(join(path, `repo-${index}.db.tar.gz`), database);
  }
  return path;
}

async function oneImage(cleanup: Cleanup, folder: string, server: SshServer): Promise<readonly Comparison[]> {
  const cat = await startSshd(cleanup, {
    authorizedKeys: (key) => `restrict,command="cat >/dev/null" ${key}\n`,
  });
  const image = await makeLargeImage(folder);
  const gigabytes = ((await stat(image)).size / 1e9).toFixed(1);
  let request = 0;
  const next = () => {
    const path = join(folder, `bench-${request++}-2026.11.01.iso`);
    linkSync(image, path);
    return path;
  };
  const client = (settings: string): NextRun => {
    const config = join(folder, `client-${request++}.toml`);
    writeFileSync(config, `host = "signer"\npublic_key = "${join(folder, "repo.asc")}"\n${settings}\n`);
    return () => ({
      command: CLIENT,
      args: ["--config", config, "sign", "--quiet", next()],
      env: { PATH },
    });
  };
  const ssh2 = client(`ssh_config = "${server.clientConfig}"`);
  const process = client(`ssh_command = ["ssh", "-F", "${server.clientConfig}"]`);
  const peaks = { ssh2: await peakMemory(ssh2()), process: await peakMemory(process()) };
  const times = measure(
    {
      ssh2,
      process,
      ssh: () => shell('ssh -F "$1" signer "$(basename "$2")" < "$2"', server, next()),
      cat: () => shell('ssh -F "$1" signer < "$2"', cat, image),
    },
    RUNS,
  );
  const of = (name: string) => median(times.get(name) ?? []);
  const ways = { ssh2: "signer-client", process: "signer-client, ssh_command" } as const;
  const peers = { ssh: "ssh signer < image", cat: "ssh host 'cat >/dev/null' < image" } as const;
  return (["ssh2", "process"] as const).flatMap((way) =>
    (["ssh", "cat"] as const).map((peer) => ({
      what: `${ways[way]}, image of ${gigabytes} GB`,
      peer: peers[peer],
      ours: of(way),
      theirs: of(peer),
      ...(peer === "ssh" ? { peakBytes: peaks[way] } : {}),
    })),
  );
}

/** A script of sh: the server's ssh_config is its $1, `subject` its $2. */
function shell(script: string, server: SshServer, subject: string): Program {
  return { command: "/bin/sh", args: ["-c", script, "sh", server.clientConfig, subject], env: { PATH } };
}
