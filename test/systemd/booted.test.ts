import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ServerFolder } from "../pull/announcer.ts";
import { makeSite } from "../pull/site.ts";
import { type BootedSystemd, bootSystemd, canBootSystemd } from "../support/booted-systemd.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { startNginx } from "../support/nginx.ts";
import type { Ended } from "../support/run.ts";
import { outcome } from "../support/signing-host.ts";

// The shipped units, in a systemd of their own: all of the sandbox is real.

const database = buildDatabase({ packages: 3, kind: "db" });

/** Steps 2 to 4 of docs/SPLIT.md, but for the units themselves. */
const PREPARE = `
systemd-sysusers /usr/lib/signer/contrib/systemd/signer.sysusers
useradd --system --home-dir / --shell /bin/sh signer-repos
useradd --system --home-dir / --shell /bin/sh signer-releng
/usr/lib/signer/bin/signer init --mode split --origin signer.example.org/repo --owner signer
systemd-tmpfiles --create /usr/lib/signer/contrib/systemd/signer.tmpfiles
`;

describe.runIf(canBootSystemd)("under systemd, in the whole sandbox,", () => {
  const cleanup = new Cleanup();
  let machine: BootedSystemd;
  beforeAll(async () => {
    machine = await bootSystemd(cleanup, PREPARE);
    await machine.runOk("systemctl", ["start", "signer@repos.socket", "signer@releng.socket"]);
  });
  afterAll(() => cleanup.run());

  /** What sshd would run in the account of `as`. */
  function accept(as: string, client: string, bytes: Uint8Array, name = "core.db.tar.gz"): Promise<Ended> {
    const account = `signer-${as}`;
    const variables = ["SSH_CONNECTION=127.0.0.1 1 127.0.0.1 22", `SSH_ORIGINAL_COMMAND=${name}`];
    const signer = ["/usr/lib/signer/bin/signer", "accept", "--client", client];
    const command = [
      "--reuid",
      account,
      "--regid",
      account,
      "--clear-groups",
      "env",
      "-i",
      ...variables,
      ...signer,
    ];
    return machine.run("setpriv", command, { stdin: bytes });
  }
  const property = async (name: string) =>
    (await machine.runOk("systemctl", ["show", "-p", name, "--value", "signer.service"])).toString().trim();

  test("the first connection starts the service, and is answered", async () => {
    expect(await property("ActiveState")).toBe("inactive");
    expect(outcome(await accept("repos", "repos", database))).toBe("signed");
    expect(await property("ActiveState")).toBe("active");
    expect(machine.said()).toBe("");
  });

  test("an account gets at its own socket and no other, and the socket says who asks", async () => {
    const socket = ["-c", "%U %G %a", "/run/signer/repos.sock"];
    expect((await machine.runOk("stat", socket)).toString()).toBe("signer signer-repos 660\n");
    expect(outcome(await accept("releng", "repos", database))).toBe("service-unavailable 69");
    expect(outcome(await accept("releng", "releng", database))).toBe("not-permitted 77");
  });

  test("no rights, no writable memory that is executable, no network, and of the machine what it needs", async () => {
    const pid = await property("MainPID");
    const status = (await machine.runOk("cat", [`/proc/${pid}/status`])).toString();
    for (const set of ["CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\s+0+$`, "m"));
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    const maps = (await machine.runOk("cat", [`/proc/${pid}/maps`])).toString();
    expect(maps.split("\n").filter((line) => /^\S+ .wx/.test(line))).toEqual([]);
    const namespace = async (of: string, kind: string) =>
      (await machine.runOk("readlink", [`/proc/${of}/ns/${kind}`])).toString();
    for (const kind of ["net", "mnt", "user"])
      expect(await namespace(pid, kind)).not.toBe(await namespace("1", kind));
    const inside = (...command: string[]) => machine.run("nsenter", ["-t", pid, "-m", ...command]);
    const filesIn = async (folder: string) =>
      (await inside("/bin/sh", "-c", `cd ${folder} && echo *`)).stdout.toString().trim().split(" ");
    expect(await filesIn("/run")).toEqual(["systemd"]);
    expect(await filesIn("/var/lib")).toEqual(["signer"]);
    expect(await filesIn("/srv")).toEqual(["*"]);
    expect((await inside("/bin/sh", "-c", "exec /bin/cat /dev/null")).status).toBe(126);
    for (const folder of ["/etc", "/var", "/run", "/usr/share"])
      expect((await inside("/bin/sh", "-c", `echo x > ${folder}/x`)).status, folder).not.toBe(0);
  });

  test("reload and restart are as systemd expects them, and no request is lost by a restart", async () => {
    await machine.runOk("systemctl", ["reload", "signer.service"]);
    await expect.poll(() => property("SubState")).toBe("running");
    const before = await property("MainPID");
    await machine.runOk("systemctl", ["restart", "signer.service"]);
    expect(await property("MainPID")).not.toBe(before);
    await machine.runOk("systemctl", ["stop", "signer.service"]);
    expect([await property("Result"), await property("ExecMainStatus")]).toEqual(["success", "0"]);
    const other = buildDatabase({ packages: 4, kind: "db" });
    expect(outcome(await accept("repos", "repos", other))).toBe("signed");
  });

  test("a service that is killed is started again", async () => {
    const before = await property("MainPID");
    await machine.runOk("kill", ["-9", before]);
    await expect
      .poll(() => property("MainPID"), { timeout: 20_000 })
      .not.toMatch(new RegExp(`^(?:0|${before})$`));
    expect(outcome(await accept("repos", "repos", database))).toBe("signed");
  });

  /** A further file beside the unit, as `systemctl edit` makes it. */
  async function dropIn(unit: string, name: string, lines: readonly string[]): Promise<void> {
    const file = `/run/machine/units/${unit}.d/${name}.conf`;
    await machine.runOk("tee", [file], { stdin: ["[Service]", ...lines, ""].join("\n") });
    await machine.runOk("systemctl", ["daemon-reload"]);
  }

  test("check finds nothing wrong, and what is wrong once an account can read the key", async () => {
    const check = async () => {
      const args = ["check", "--sshd-config", "/nonexistent"];
      const { stdout } = await machine.run("/usr/lib/signer/bin/signer", args);
      const lines = stdout.toString().split("\n");
      return { lines, errors: lines.filter((line) => line.startsWith("ERROR")) };
    };
    const { lines, errors } = await check();
    expect(errors).toEqual([]);
    for (const client of ["repos", "releng"]) {
      const connects = `${client}: signer-${client} may connect to /run/signer/${client}.sock`;
      expect(lines).toContainEqual(expect.stringContaining(connects));
      expect(lines).toContainEqual(expect.stringContaining(`signer-${client} can read neither keys nor log`));
    }
    await machine.runOk("chgrp", ["signer-repos", "/etc/signer/repo.key"]);
    await machine.runOk("chmod", ["640", "/etc/signer/repo.key"]);
    expect((await check()).errors).toContainEqual(
      expect.stringContaining("signer-repos can read /etc/signer/repo.key"),
    );
    await machine.runOk("chmod", ["600", "/etc/signer/repo.key"]);
  });

  test("the sender begins with the service's first word, in a sandbox of its own", async () => {
    await machine.runOk("systemctl", ["start", "signer-sender.socket", "signer-sender.service"]);
    const args = ["show", "-p", "MainPID", "--value", "signer-sender.service"];
    const pid = (await machine.runOk("systemctl", args)).toString().trim();
    const status = (await machine.runOk("cat", [`/proc/${pid}/status`])).toString();
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(
      (await machine.runOk("stat", ["-c", "%U %G %a", "/run/signer-sender/sender.sock"])).toString(),
    ).toBe("signer-sender signer 660\n");
    await machine.runOk("systemctl", ["stop", "signer-sender.service"]);
  });

  test("work is fetched from a repository server, from a sandbox of its own, and signed by the service", async () => {
    const { authority, certificate, announcer } = await makeSite(cleanup);
    const address = await machine.connect();
    const altName = `IP:${address}`;
    const nginx = await startNginx(cleanup, {
      ...{ authority, address },
      certificate: await authority.issue({ usage: "server", altName }),
    });
    const folder = "/etc/signer/pull";
    await machine.runOk("mkdir", [folder]);
    const files = {
      ca: authority.caFile,
      certificate: certificate.certificateFile,
      key: certificate.keyFile,
    };
    for (const [name, file] of Object.entries(files))
      await machine.runOk("tee", [`${folder}/${name}`], { stdin: readFileSync(file) });
    await machine.runOk("chmod", ["600", `${folder}/key`]);
    await machine.runOk("chown", ["signer-pull:", `${folder}/key`]);
    const paths = Object.keys(files).map((name) => `${name} = "${folder}/${name}"`);
    const source = ['name = "repos"', 'client = "repos"', `url = "${nginx.url}"`, 'poll = "1 s"', ...paths];
    source.push(`notification_key = "${announcer.publicKey}"`);
    const table = `\n[[sources]]\n${source.join("\n")}\n`;
    await machine.runOk("tee", ["-a", "/etc/signer/signer.toml"], { stdin: table });
    await machine.runOk("usermod", ["-aG", "signer-repos", "signer-pull"]);
    await machine.runOk("systemctl", ["start", "signer-pull.service"]);
    const server = new ServerFolder(nginx.folder, announcer);
    const bytes = buildDatabase({ packages: 2, kind: "db", seed: 9 });
    const [request] = await server.offer([{ name: "core.db.tar.gz", bytes }]);
    if (request === undefined) throw new Error("there is no request");
    await expect.poll(() => server.answerCode(request)).toBe("sig");
    await expect.poll(() => machine.said()).toContain("core.db.tar.gz (request 1001): signed");
    const args = ["show", "-p", "MainPID", "--value", "signer-pull.service"];
    const pid = (await machine.runOk("systemctl", args)).toString().trim();
    const status = (await machine.runOk("cat", [`/proc/${pid}/status`])).toString();
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    const inside = (...command: string[]) => machine.run("nsenter", ["-t", pid, "-m", ...command]);
    expect((await inside("/bin/sh", "-c", "cd /var/lib && echo *")).stdout.toString()).toBe("signer-pull\n");
    const check = await machine.run("/usr/lib/signer/bin/signer", ["check", "--sshd-config", "/nonexistent"]);
    const lines = check.stdout.toString().split("\n");
    expect(lines.filter((line) => line.startsWith("ERROR"))).toEqual([]);
    expect(lines).toContainEqual(expect.stringMatching(/sources +repos: .* is valid until/));
    await machine.runOk("systemctl", ["stop", "signer-pull.service"]);
    const ended = ["show", "-p", "Result", "--value", "signer-pull.service"];
    expect((await machine.runOk("systemctl", ended)).toString()).toBe("success\n");
  });

  test("it runs with Node's compilers where a drop-in says so, and not without the other half of it", async () => {
    await dropIn("signer.service", "jit", ["Environment=SIGNER_JITLESS="]);
    expect((await machine.run("systemctl", ["restart", "signer.service"])).status).not.toBe(0);
    await machine.runOk("systemctl", ["stop", "signer.service"]);
    await dropIn("signer.service", "jit", ["Environment=SIGNER_JITLESS=", "MemoryDenyWriteExecute=no"]);
    await machine.runOk("systemctl", ["restart", "signer.service"]);
    const pid = await property("MainPID");
    expect((await machine.runOk("cat", [`/proc/${pid}/cmdline`])).toString()).not.toContain("--jitless");
    expect(outcome(await accept("repos", "repos", database))).toBe("signed");
    await dropIn("signer.service", "jit", []);
  });

  test("a key with a passphrase signs: systemd gives it to the service", async () => {
    const gnupg = await GnupgHome.create(cleanup);
    const passphrase = "correct horse";
    const fingerprint = await gnupg.generate({ primary: ["ed25519", "sign"], passphrase });
    const secret = await gnupg.secretKey(fingerprint, "all", passphrase);
    await machine.runOk("tee", ["/etc/signer/repo.key"], { stdin: secret });
    const line = '/^file = /a passphrase_credential = "repo"';
    await machine.runOk("sed", ["-i", line, "/etc/signer/signer.toml"]);
    await machine.runOk("tee", ["/etc/signer/passphrase"], { stdin: passphrase });
    await machine.runOk("chmod", ["600", "/etc/signer/passphrase"]);
    await dropIn("signer.service", "passphrase", ["LoadCredential=repo:/etc/signer/passphrase"]);
    await machine.runOk("systemctl", ["restart", "signer.service"]);
    expect((await machine.runOk("cat", [`/proc/${await property("MainPID")}/cmdline`])).toString()).toContain(
      "--jitless",
    );
    expect(outcome(await accept("repos", "repos", buildDatabase({ packages: 5, kind: "db" })))).toBe(
      "signed",
    );
  });
});

test.runIf(process.env["CI"] === "true" && process.getuid?.() === 0)("systemd can be booted here", () => {
  expect(canBootSystemd).toBe(true);
});
