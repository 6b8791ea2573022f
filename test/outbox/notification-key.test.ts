import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { signNotification } from "../../src/outbox/notification-key.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
const LINE = '{"requests":[],"seq":1,"time":"2026-11-24T10:00:00Z","version":1}\n';
let folder: string;
beforeAll(async () => {
  folder = await tempDir(cleanup);
});
afterAll(() => cleanup.run());
const { SSH_AUTH_SOCK, PATH } = process.env;
afterEach(() => {
  for (const [name, value] of Object.entries({ SSH_AUTH_SOCK, PATH }))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
});

async function makeKey(name: string, type = "ed25519", passphrase = ""): Promise<string> {
  const file = join(folder, name);
  await runOk("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", file]);
  return file;
}

/** What ssh-keygen itself finds of it, as `notification@signer` of somebody. */
async function verify(keyFile: string, armored: string): Promise<string> {
  const signers = join(folder, "signers");
  writeFileSync(signers, `repo ${readFileSync(`${keyFile}.pub`, "utf8")}`);
  writeFileSync(join(folder, "sig"), armored);
  const args = [
    "-Y",
    "verify",
    "-f",
    signers,
    "-I",
    "repo",
    "-n",
    "notification@signer",
    "-s",
    join(folder, "sig"),
  ];
  return (await runOk("ssh-keygen", args, { stdin: LINE })).toString();
}

test("a private key signs, and ssh-keygen finds it good", async () => {
  const key = await makeKey("plain");
  expect(await verify(key, await signNotification(key, LINE))).toContain(
    'Good "notification@signer" signature',
  );
});

test("an agent signs with the key whose public half is named", async () => {
  const key = await makeKey("held");
  const socket = join(folder, "agent");
  const started = (await runOk("ssh-agent", ["-a", socket])).toString();
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(started)?.[1]);
  cleanup.add(() => process.kill(pid));
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  await runOk("ssh-add", ["-q", key], { env });
  rmSync(key);
  process.env["SSH_AUTH_SOCK"] = socket;
  expect(await verify(key, await signNotification(`${key}.pub`, LINE))).toContain("Good");
});

test("a key that does not serve is a mistake of the configuration, in one line, and nobody is asked for a passphrase", async () => {
  const locked = await makeKey("locked", "ed25519", "secret");
  const garbage = join(folder, "garbage");
  writeFileSync(garbage, "x", { mode: 0o600 });
  const open = await makeKey("open");
  chmodSync(open, 0o644);
  delete process.env["SSH_AUTH_SOCK"];
  const cases = [
    [locked, /: it has a passphrase: ssh-add it to an agent, and name its .pub$/],
    [garbage, /public key .*garbage/],
    [open, /: others may read it, chmod 600$/],
    [join(folder, "missing"), /No such file/],
    [await makeKey("rsa", "rsa"), /: expected an Ed25519 key$/],
    [await makeKey("ecdsa", "ecdsa"), /: expected an Ed25519 key$/],
  ] as const;
  for (const [file, why] of cases) {
    const signing = signNotification(file, LINE);
    await expect(signing).rejects.toMatchObject({ code: "bad-configuration" });
    await expect(signing).rejects.toThrow(why);
    await expect(signing).rejects.toThrow(/^[\x20-\x7e]+$/);
    await expect(signing).rejects.toThrow(file);
  }
});

test("without ssh-keygen it is said that it is not installed", async () => {
  const key = await makeKey("unused");
  process.env["PATH"] = folder;
  await expect(signNotification(key, LINE)).rejects.toThrow(/: ssh-keygen is not installed$/);
});

test("on a terminal nobody is asked for a passphrase either", async () => {
  const key = await makeKey("unasked", "ed25519", "secret");
  const module = join(import.meta.dirname, "../../src/outbox/notification-key.ts");
  const script = `const { signNotification } = await import(${JSON.stringify(module)});
    await signNotification(${JSON.stringify(key)}, "x").catch((error) => console.log(error.message));`;
  const terminal = ["-c", "import pty, sys; pty.spawn(sys.argv[1:])", process.execPath];
  const { SSH_AUTH_SOCK: _, ...env } = process.env;
  const said = (
    await runOk("python3", [...terminal, "--input-type=module", "-e", script], { env })
  ).toString();
  expect(said).toContain("it has a passphrase: ssh-add it to an agent");
  expect(said).not.toContain("Enter passphrase");
});
