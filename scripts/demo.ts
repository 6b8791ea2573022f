/**
 * `npm run demo`: one story, from a new signing host to a log that shows when somebody changes it, told with the real sshd,
 * ssh, repo-add, pacman and xorriso. Ends with 0 only if everything went as it is told, and leaves nothing behind.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Cleanup } from "../test/support/cleanup.ts";
import { makeImage } from "../test/support/image.ts";
import { makePackage } from "../test/support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../test/support/pacman.ts";
import { runOk } from "../test/support/run.ts";
import { authorizedKeysLine, SIGNER, SIGNER_LOG } from "../test/support/signing-host.ts";
import { startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { forgeLog } from "./demo/forgery.ts";
import { type Machine, makeMachine } from "./demo/machine.ts";
import { type Command, Story } from "./demo/story.ts";

const CHECKOUT = join(import.meta.dirname, "..");

const cleanup = new Cleanup();
let stopped: string | undefined;
const stop = (reason: string) => {
  stopped ??= reason;
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
process.stdout.on("error", () => stop("a closed output"));

process.exitCode = 1;
const folder = await tempDir(cleanup);
const homes = ["host", "repo", "releng"].map((name) => [join(folder, name), "~"] as const);
const story = new Story(process.stdout, [...homes, [CHECKOUT, "…"]], () => stopped);
let failure: unknown;
try {
  await tell();
} catch (error) {
  failure = error;
} finally {
  await cleanup.run();
}
if (stopped === undefined && failure === undefined) {
  story.end("green", `All ${story.steps} steps went as told, and all that was made for them is gone again.`);
  process.exitCode = 0;
} else {
  const why = failure instanceof Error ? failure.message : String(failure);
  const text =
    stopped === undefined ? `Step ${story.steps} did not go as told: ${why}` : `Stopped by ${stopped}`;
  story.end("red", `${text}; all that was made is gone again.`);
}

async function tell(): Promise<void> {
  story.title("signer: a key that looks at what it signs");
  story.say(
    `Four machines play in this story, each a folder below ${folder}: host$ has the signing key, repo$ builds packages,
    releng$ makes images, user$ installs. All programs are the real ones; signer, ssh and pacman have their
    configuration in these folders.`,
  );
  const host = await makeHost();
  const { repo, releng } = await letClientsIn(host);
  await buildRepository(repo);
  await signDatabases(repo);
  const pacman = await synchronise(host, repo);
  await refuseChanged(pacman, repo);
  await signImage(releng);
  await refuseOthers(repo);
  await readLog(host);
  await discoverForgery(host);
}

async function makeHost(): Promise<Machine> {
  const config = ["--config", join(folder, "host", "signer.toml")] as const;
  const host = await makeMachine(folder, "host", {
    signer: [SIGNER, ...config],
    "signer-log": [SIGNER_LOG, ...config],
  });
  story.step(
    "A signing host",
    `One command makes what is missing: a configuration with rules, an OpenPGP key, and a log with a key of its own. The primary
    key belongs offline; the host signs with a subkey.`,
  );
  await story.run(host.sh("signer init --origin signer.example.org/repo --state ~/state"), {
    show: (lines) =>
      lines.slice(
        0,
        lines.findIndex((line) => line.startsWith("authorized_keys")),
      ),
    prints: /^key repo .*\n.*\n.* ed25519 /m,
  });
  return host;
}

async function letClientsIn(host: Machine): Promise<{ readonly repo: Machine; readonly releng: Machine }> {
  story.step(
    "Two clients",
    `sshd lets two keys in. Whatever they ask for, it runs signer accept, which learns from the line in authorized_keys who
    they are. (This is authorized_keys.example, filled in.)`,
  );
  const example = await readFile(join(CHECKOUT, "authorized_keys.example"), "utf8");
  const configFile = join(host.home, "signer.toml");
  const relengKey = join(folder, "releng-key");
  await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", relengKey]);
  const relengPublicKey = (await readFile(`${relengKey}.pub`, "utf8")).trim();
  let authorizedKeys = "";
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) => {
      authorizedKeys =
        authorizedKeysLine(example, "repos", publicKey, configFile) +
        authorizedKeysLine(example, "releng", relengPublicKey, configFile);
      return authorizedKeys;
    },
  });
  story.quote(
    authorizedKeys
      .trimEnd()
      .replaceAll(/AAAA\S+/g, "AAAA…")
      .split("\n"),
  );
  const ssh = ["ssh", "-F", server.clientConfig] as const;
  return {
    repo: await makeMachine(folder, "repo", { ssh }),
    releng: await makeMachine(folder, "releng", { ssh: [...ssh, "-i", relengKey] }),
  };
}

async function buildRepository(repo: Machine): Promise<void> {
  story.step(
    "A repository",
    "The repository server makes a repository of two small packages with repo-add. It has no signing key.",
  );
  await makePackage(repo.home, "apple");
  await makePackage(repo.home, "pear", { version: "1:2.0-3" });
  await story.run(repo.sh("repo-add demo.db.tar.gz *.pkg.tar.zst"), {
    show: (lines) => lines.filter((line) => line.includes("package")),
    prints: "Adding package",
  });
}

async function signDatabases(repo: Machine): Promise<void> {
  story.step(
    "Two signatures",
    `The repository server hands over each database, whole. The host reads it, checks that it is one and that its rules allow it,
    signs, logs, and answers with the signature. Nothing but ssh is needed here.`,
  );
  for (const type of ["db", "files"]) {
    await story.run(repo.sh(`ssh signer demo.${type}.tar.gz < demo.${type}.tar.gz > demo.${type}.sig`));
  }
  await story.run(repo.sh("wc -c demo.db.tar.gz demo.db.sig"), { show: (lines) => lines.slice(0, 2) });
}

async function synchronise(host: Machine, repo: Machine): Promise<PacmanClient> {
  story.step(
    "A repository to trust",
    `A machine that installs from the repository has the public key in pacman's keyring, and SigLevel = Required in its
    configuration: it takes no database without a good signature.`,
  );
  const armored = await story.run(repo.sh("ssh signer key"), {
    show: firstAndLast,
    prints: "PUBLIC KEY BLOCK",
  });
  const key = JSON.parse((await host.sh("signer key --json").run()).stdout.toString());
  const pacman = await makePacmanClient(cleanup, {
    repository: "demo",
    folder: repo.home,
    key: { armored: armored.stdout.toString(), fingerprint: key.primaryFingerprint },
  });
  await story.run(user("pacman -Sy", () => pacman.sync()));
  await story.run(user("pacman -Fy", () => pacman.syncFiles()));
  await story.run(
    user("pacman -Sl demo", () => pacman.run(["-Sl", "demo"])),
    { prints: "demo apple 1.0-1" },
  );
  return pacman;
}

async function refuseChanged(pacman: PacmanClient, repo: Machine): Promise<void> {
  story.step(
    "A repository that somebody changed",
    "Whoever captures a mirror can add a package to the database, and leave the old signature beside it: pacman notices.",
  );
  await makePackage(repo.home, "worm");
  const signature = await readFile(join(repo.home, "demo.db.sig"));
  await story.run(repo.sh("repo-add demo.db.tar.gz worm-1.0-1-any.pkg.tar.zst"), {
    show: (lines) => lines.filter((line) => line.includes("Adding package")),
  });
  await writeFile(join(repo.home, "demo.db.sig"), signature); // repo-add took it away
  await story.run(
    user("pacman -Sy", () => pacman.sync()),
    { status: 1, show: errors, prints: "invalid" },
  );
}

async function signImage(releng: Machine): Promise<void> {
  const today = new Date().toISOString().slice(0, 10);
  const day = today.replaceAll("-", ".");
  const midnight = Date.parse(`${today}T00:00:00Z`);
  const volumeId = `DEMO_${day.slice(0, 4)}${day.slice(5, 7)}`;
  const names = [`demo-${day}.iso`, `demo-${day}-fixed.iso`] as const;
  story.step(
    "One image a month",
    `The rule for images says "1 per month". The first is signed. The same image again, after a lost connection, say, gets the
    same signature again. Another one has to wait.`,
  );
  for (const [index, name] of names.entries()) {
    const createdAt = new Date(midnight + index * 1000).toISOString();
    await writeFile(
      join(releng.home, name),
      await makeImage("archiso-bios-and-efi", { volumeId, createdAt }),
    );
  }
  const [first, second] = names;
  await story.run(releng.sh(`ssh signer ${first} < ${first} > 1.sig`));
  await story.run(releng.sh(`ssh signer ${first} < ${first} > 2.sig`));
  await story.run(releng.sh("cmp 1.sig 2.sig && echo the same"), { prints: "the same" });
  await story.run(releng.sh(`ssh signer ${second} < ${second}`), {
    status: 75,
    prints: "signer: over-limit: ",
  });
}

async function refuseOthers(repo: Machine): Promise<void> {
  story.step(
    "What is not signed",
    "A package is no database; nor is one that is packed and named like a database. A command is no name.",
  );
  const file = "apple-1.0-1-any.pkg.tar.zst";
  await story.run(repo.sh(`ssh signer ${file} < ${file}`), {
    status: 65,
    prints: "signer: not-recognised: ",
  });
  await story.run(repo.sh(`bsdtar -cf - @${file} | gzip -n | ssh signer demo.db.tar.gz`), {
    status: 65,
    prints: "signer: bad-database: ",
  });
  await story.run(repo.sh("ssh signer 'cat ~/repo.key'"), { status: 64, prints: "signer: bad-request: " });
}

async function readLog(host: Machine): Promise<void> {
  story.step(
    "What the host remembers",
    "Each signature was in the log before it left the host, and refusals are in it as well.",
  );
  await story.runOnTerminal(host.sh("signer-log list"), host);
  await story.run(host.sh("signer-log verify"), { prints: "agree" });
}

async function discoverForgery(host: Machine): Promise<void> {
  story.step(
    "A log that cannot be changed in silence",
    `In a copy of the log, somebody who can write to its file makes the image that was signed another client's, past all that
    the database itself forbids.`,
  );
  await story.run(host.sh("cp -r state forged"));
  forgeLog(join(host.home, "forged"), '"client":"releng"', '"client":"repos"');
  await story.run(host.sh("signer-log --state ~/forged verify"), {
    status: 69,
    prints: "signer-log: log-broken: entry ",
  });
}

function user(text: string, run: Command["run"]): Command {
  return { prompt: "user", text, run };
}

function firstAndLast(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line, index) =>
    index === 0 || index === lines.length - 1 ? [line] : index === 1 ? ["…"] : [],
  );
}

function errors(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => line.startsWith("error:"));
}
