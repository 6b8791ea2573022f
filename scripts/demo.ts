/**
 * `npm run demo`: one story, from a new signing host to a log that shows when somebody changes it, told with the real sshd,
 * ssh, repo-add, pacman and xorriso. Ends with 0 only if everything went as it is told, and leaves nothing behind.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync } from "node:fs";
import { appendFile, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { CertificateFiles } from "../test/support/certificates.ts";
import { Cleanup } from "../test/support/cleanup.ts";
import { makeImage } from "../test/support/image.ts";
import { startNginx } from "../test/support/nginx.ts";
import { makePackage } from "../test/support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../test/support/pacman.ts";
import { type Ended, runOk } from "../test/support/run.ts";
import { authorizedKeysLine, SIGNER, SIGNER_LOG } from "../test/support/signing-host.ts";
import { startSshd } from "../test/support/sshd.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { forgeLog } from "./demo/forgery.ts";
import { type Machine, makeMachine } from "./demo/machine.ts";
import { type Command, Story } from "./demo/story.ts";

const CHECKOUT = join(import.meta.dirname, "..");
const SIGNER_CLIENT = join(CHECKOUT, "bin", "signer-client");
const SIGNER_REPO_ADD = join(CHECKOUT, "bin", "signer-repo-add");

const cleanup = new Cleanup();
let stopped: string | undefined;
const stop = (reason: string) => {
  stopped ??= reason;
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
process.stdout.on("error", () => stop("a closed output"));

process.exitCode = 1;
const folder = await tempDir(cleanup);
const homes = ["host", "repo", "releng", "loghost"].map((name) => [join(folder, name), "~"] as const);
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
    `Five machines play in this story, each a folder below ${folder}: host$ has the signing key, repo$ builds packages,
    releng$ makes images, loghost$ keeps a copy of the log, user$ installs. All programs are the real ones; signer, ssh and pacman have their
    configuration in these folders.`,
  );
  const host = await makeHost();
  const { repo, releng } = await letClientsIn(host);
  await buildRepository(repo);
  await signDatabases(repo);
  const pacman = await synchronise(host, repo);
  await refuseChanged(pacman, repo);
  await publishAtOnce(pacman, repo);
  await signImage(releng);
  await refuseOthers(repo);
  await readLog(host);
  const loghost = await addLogHost(host);
  await signWithWitness(host, repo);
  await proveOffline(host, repo, loghost);
  await discoverForgery(host);
  await comeBackFromYesterday(host, repo);
  await putKeyOutOfReach(host, repo);
  await fetchWork(host, repo, pacman);
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
  const config = join(folder, "repo", "client.toml");
  const repo = await makeMachine(folder, "repo", {
    ssh,
    "signer-client": [SIGNER_CLIENT, "--config", config],
    "signer-repo-add": [SIGNER_REPO_ADD, "--config", config],
  });
  await copyFile(server.clientConfig, join(repo.home, "ssh_config"));
  return { repo, releng: await makeMachine(folder, "releng", { ssh: [...ssh, "-i", relengKey] }) };
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

async function publishAtOnce(pacman: PacmanClient, repo: Machine): Promise<void> {
  story.step(
    "Databases that are never without their signatures",
    `signer-repo-add takes repo-add's place: both databases are signed by the host first, each signature is verified with the key
    pinned in its configuration, and only then the new state takes the old one's place. The worm goes, a new apple comes.
    (pacman's error is about its own copy of the database, still the one with the worm, before it fetches the new one.)`,
  );
  const settings = [
    'host = "signer"',
    `ssh_config = "${join(repo.home, "ssh_config")}"`,
    `public_key = "${join(repo.home, "repo.asc")}"`,
  ];
  await writeFile(join(repo.home, "client.toml"), `${settings.join("\n")}\n`);
  story.quote(settings.map((line) => line.replace(repo.home, "~")));
  await repo.sh("ssh signer key > repo.asc && rm worm-*.zst").run();
  await makePackage(repo.home, "apple", { version: "1.1-1" });
  await repo.sh("repo-remove -q demo.db.tar.gz worm").run();
  await story.run(repo.sh("signer-repo-add -R demo.db.tar.gz apple-1.1-1-any.pkg.tar.zst"), {
    show: (lines) => lines.filter((line) => line.includes("package")),
    prints: "apple",
  });
  await story.run(user("pacman -Sy", () => pacman.sync()));
  await story.run(
    user("pacman -Sl demo", () => pacman.run(["-Sl", "demo"])),
    { prints: "demo apple 1.1-1" },
  );
  await story.run(repo.sh("signer-client status"), { prints: "client repos" });
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
  const file = "apple-1.1-1-any.pkg.tar.zst";
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

async function addLogHost(host: Machine): Promise<Machine> {
  story.step(
    "A witness",
    `A second machine, loghost$, is to keep a copy of the log, verify what it gets, and vouch for it with a key of its own. It needs the
    log's public key; the signing host needs the witness's, and the SSH key of the machine.`,
  );
  const copies = join(folder, "loghost", "copies");
  const loghost = await makeMachine(folder, "loghost", {
    "signer-log": [SIGNER_LOG, "--copies", copies, "--log", "demo"],
  });
  const key = await story.run(host.sh("signer-log key"), { prints: "signer.example.org/repo+" });
  await writeFile(join(loghost.home, "log.pub"), key.stdout);
  const made = await story.run(
    loghost.sh('signer-log init --verifier "$(cat log.pub)" --witness log.example.org/demo'),
    { prints: "log.example.org/demo+" },
  );
  const witness =
    /log\.example\.org\/demo\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+/.exec(made.stdout.toString())?.[0] ?? "";
  await writeFile(join(loghost.home, "witness.pub"), `${witness}\n`);
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) =>
      `restrict,from="127.0.0.1",command="${SIGNER_LOG} receive --log demo --copies ${copies}" ${publicKey}\n`,
  });
  const remoteLog = [
    "[[remote_log]]",
    'type = "ssh"',
    'name = "loghost"',
    'host = "127.0.0.1"',
    `port = ${server.port}`,
    `user = "${userInfo().username}"`,
    `key = "${server.identity}"`,
    `host_key = "${server.hostKey}"`,
    `witness = "${witness}"`,
    "required = true",
  ];
  await appendFile(join(host.home, "signer.toml"), `\n${remoteLog.join("\n")}\n`);
  story.say(
    "The table that init printed goes into the signing host's configuration. What is in the log already is sent:",
  );
  await story.run(host.sh("signer-log push"), { prints: "loghost" });
  return loghost;
}

async function signWithWitness(host: Machine, repo: Machine): Promise<void> {
  story.step(
    "No signature without the witness",
    `From now on a signature leaves when its entry is at the log host, and not before. Yesterday's state of the signing host, which we
    put aside here, comes back later.`,
  );
  await host.sh("cp -r state yesterday").run();
  await story.run(repo.sh("ssh signer demo.db.tar.gz < demo.db.tar.gz > demo.db.tar.gz.sig"));
  await story.run(host.sh("signer-log compare loghost"));
}

async function proveOffline(host: Machine, repo: Machine, loghost: Machine): Promise<void> {
  story.step(
    "A proof for everybody",
    `A proof says that the log has the entry of this signature, and that the witness has seen the log with it. With public keys alone
    it is verified anywhere, offline; here by a user who got database, signature and proof from a mirror.`,
  );
  for (const name of ["demo.db.tar.gz", "demo.db.tar.gz.sig"]) {
    await copyFile(join(repo.home, name), join(host.home, name));
  }
  await story.run(host.sh("signer-log prove demo.db.tar.gz.sig -o demo.tlog-proof"));
  await host.sh("signer-log key > log.pub && signer key export > repo.asc").run();
  await copyFile(join(loghost.home, "witness.pub"), join(host.home, "witness.pub"));
  const verify =
    'signer-log verify demo.tlog-proof --artefact demo.db.tar.gz --signature demo.db.tar.gz.sig --key "$(cat log.pub)" --witness "$(cat witness.pub)" --openpgp repo.asc';
  await story.run(host.sh(verify));
}

async function comeBackFromYesterday(host: Machine, repo: Machine): Promise<void> {
  story.step(
    "Yesterday's backup",
    `Somebody puts yesterday's state back on the signing host, to have the month's image once more, or by mistake. The log host
    remembers more than the host does: nothing is signed until the log is restored from the copy.`,
  );
  await host.sh("mv state lost && cp -r yesterday state").run();
  const request = "ssh signer demo.files.tar.gz < demo.files.tar.gz > demo.files.tar.gz.sig";
  await story.run(repo.sh(request), { status: 69, prints: "signer: log-broken: " });
  await story.run(host.sh("signer-log restore --from loghost"));
  await story.run(repo.sh(request));
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

async function putKeyOutOfReach(host: Machine, repo: Machine): Promise<void> {
  story.step(
    "The key out of reach",
    `So far the account that SSH logs into could read the key. In split mode the forced command only passes on what comes: a service
    in an account of its own has key and log and no network, and a third process holds the connection to the log host. (All are
    the same account here; docs/SPLIT.md has the real thing.)`,
  );
  const sockets = join(host.home, "run");
  const sender = join(sockets, "sender.sock");
  const file = join(host.home, "signer.toml");
  const settings = [
    'mode = "split"',
    `service = { sockets = "${sockets}" }`,
    `sender = { socket = "${sender}" }`,
  ];
  await mkdir(sockets);
  await writeFile(file, `${settings.join("\n")}\n${await readFile(file, "utf8")}`);
  story.quote(settings.map((line) => line.replace(host.home, "~")));
  for (const [command, socket] of [
    ["sender", sender],
    ["serve", join(sockets, "repos.sock")],
  ] as const)
    await story.run(startService(host, command, socket));
  await story.run(repo.sh("signer-repo-add demo.db.tar.gz"), {
    show: (lines) => lines.filter((line) => line.includes("sign")),
  });
  await story.run(host.sh("signer status"), { prints: "repos" });
}

async function fetchWork(host: Machine, repo: Machine, pacman: PacmanClient): Promise<void> {
  story.step(
    "The other way round",
    `A signing host into which nothing may be let opens no port: signer pull asks the repository server whether there is work, over
    TLS 1.3 with certificates on both sides, and uploads the signature. signer ca makes the certificates; nginx on the
    repository server, with contrib/nginx, lets in this one host. What is announced there is signed with an SSH key.`,
  );
  const made = { show: (lines: readonly string[]) => lines.filter((line) => line.startsWith("made")) };
  await story.run(host.sh("signer ca init ~/ca"), made);
  await story.run(host.sh("signer ca issue ~/ca server 127.0.0.1"), made);
  await story.run(host.sh("signer ca issue ~/ca client enclave"), made);
  const [server, enclave] = [issued(host, "server"), issued(host, "enclave")];
  await repo.sh("ssh-keygen -q -t ed25519 -N '' -C notifications -f ~/notification").run();
  const authority = { caFile: join(host.home, "ca", "ca.pem"), crlFile: join(host.home, "ca", "crl.pem") };
  const nginx = await startNginx(cleanup, { authority, certificate: server });
  await mkdir(join(nginx.folder, "requests"), { mode: 0o700 });

  const settings = [
    'via = "pull"',
    `public_key = "${join(repo.home, "repo.asc")}"`,
    `pull = { folder = "${nginx.folder}", key = "${join(repo.home, "notification")}" }`,
  ];
  await writeFile(join(repo.home, "client.toml"), `${settings.join("\n")}\n`);
  const state = join(host.home, "pull");
  await mkdir(state, { mode: 0o700 });
  const publicKey = (await readFile(join(repo.home, "notification.pub"), "utf8")).trim();
  const source = [
    `pull = { state = "${state}" }`,
    "[[sources]]",
    'name = "repos"',
    `url = "${nginx.url}"`,
    'client = "repos"',
    `ca = "${authority.caFile}"`,
    `certificate = "${enclave.certificateFile}"`,
    `key = "${enclave.keyFile}"`,
    `notification_key = "${publicKey}"`,
    'poll = "1 s"',
  ];
  const file = join(host.home, "signer.toml");
  const [first = "", ...rest] = source;
  await writeFile(file, `${first}\n${await readFile(file, "utf8")}\n${rest.join("\n")}\n`);
  story.quote(rest.map((line) => line.replace(host.home, "~").replace(/AAAA[^ "]*/, "AAAA…")));
  await story.run(startService(host, "pull", join(state, "repos.db")));

  await makePackage(repo.home, "plum");
  await story.run(repo.sh("signer-repo-add demo.db.tar.gz plum-1.0-1-any.pkg.tar.zst"), {
    show: (lines) => lines.filter((line) => line.includes("package")),
    prints: "plum",
  });
  await story.run(user("pacman -Sy", () => pacman.sync()));
  await story.run(
    user("pacman -Sl demo", () => pacman.run(["-Sl", "demo"])),
    { prints: "demo plum 1.0-1" },
  );
  await story.run(host.sh("signer-log list --limit 2"), { prints: "demo.files.tar.gz" });
}

/** Where signer ca put a certificate: in a folder that has its serial number. */
function issued(host: Machine, name: "server" | "enclave"): CertificateFiles {
  const [certificateFile = ""] = globSync(join(host.home, "ca", "*", `${name}.pem`));
  return { certificateFile, keyFile: certificateFile.replace(/\.pem$/, ".key") };
}

/** A service in the background, as long as the story lasts; there when its socket, or another file of its own, is. */
function startService(host: Machine, command: string, socket: string): Command {
  const run = async (): Promise<Ended> => {
    const service = spawn("/bin/sh", ["-c", `exec signer ${command}`], {
      cwd: host.home,
      env: host.env,
      stdio: "ignore", // what they say is for their journal
    });
    cleanup.add(async () => {
      const ended = once(service, "exit");
      if (service.exitCode === null && service.kill()) await ended;
    });
    for (let count = 0; count < 500 && !existsSync(socket); count += 1) await delay(20);
    const status = existsSync(socket) ? 0 : 1;
    return { status, signal: undefined, stdout: Buffer.alloc(0), stderr: "" };
  };
  return { prompt: "host", text: `signer ${command} &`, run };
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
