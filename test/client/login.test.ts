import { type ChildProcess, spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SshClientConfig } from "../../src/client/client-config.ts";
import { connectToHost } from "../../src/client/signing-host.ts";
import { parseHostKey } from "../../src/config/setting.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { type SshServer, startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";
import { bytes, clientOf, codeOf, hostKeyOf } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let server: SshServer;
let folder: string;
let agent: string;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  for (const [name, type, passphrase] of [
    ["rsa", "rsa", ""],
    ["locked", "ed25519", "secret"],
    ["agent-ed25519", "ed25519", ""],
    ["agent-rsa", "rsa", ""],
    ["stranger", "ed25519", ""],
  ] as const)
    await runOk("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", at(name)]);
  const welcome = await Promise.all(["rsa", "locked", "agent-ed25519", "agent-rsa"].map(publicKey));
  server = await startSshd(cleanup, {
    authorizedKeys: (key) => [key, ...welcome].map((line) => `restrict ${line}\n`).join(""),
    config: "MaxAuthTries 2",
  });
  agent = await startAgent();
});

const at = (name: string) => join(folder, name);
const publicKey = async (name: string) => (await readFile(at(`${name}.pub`), "utf8")).trim();

async function startAgent(): Promise<string> {
  const socket = at("agent.sock");
  const process: ChildProcess = spawn("ssh-agent", ["-D", "-a", socket], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  cleanup.add(() => process.kill());
  await new Promise((resolve) => process.stdout?.once("data", resolve));
  return socket;
}

async function addToAgent(...names: string[]): Promise<void> {
  const env = { ...process.env, SSH_AUTH_SOCK: agent };
  await runOk("ssh-add", ["-D"], { env });
  for (const name of names) await runOk("ssh-add", ["-q", at(name)], { env });
}

/** "welcome", or why not. */
async function logIn(changed: Partial<SshClientConfig> = {}): Promise<unknown> {
  const connection = await connectToHost(clientOf(server, changed)).catch((error: unknown) => error as Error);
  if (connection instanceof Error) return connection;
  await connection.run("true", bytes(), { maxOutputBytes: 0 });
  await connection.close();
  return "welcome";
}

/** The server's ssh_config with lines that win. */
async function configWith(...lines: string[]): Promise<string> {
  const file = at(`config-${Math.random()}`);
  await writeFile(file, `Host signer\n${lines.join("\n")}\nInclude ${server.clientConfig}\n`);
  return file;
}

describe("who logs in", () => {
  test("the key file of ssh_config", async () => {
    expect(await logIn()).toBe("welcome");
  });

  test("an RSA key file", async () => {
    expect(await logIn({ identities: [at("rsa")] })).toBe("welcome");
  });

  test.each(["agent-ed25519", "agent-rsa"])("the agent's %s", async (name) => {
    await addToAgent(name);
    expect(await logIn({ agent, identities: [at(`${name}.pub`)] })).toBe("welcome");
  });

  test("the IdentityAgent of ssh_config", async () => {
    await addToAgent("agent-ed25519");
    const file = await configWith("IdentitiesOnly no", "IdentityFile none", `IdentityAgent ${agent}`);
    expect(await logIn({ sshConfigFile: file })).toBe("welcome");
  });

  test("of an agent only the keys that identities name are tried, which may be locked in their files", async () => {
    await addToAgent("stranger", "rsa", "agent-rsa", "agent-ed25519");
    expect(await logIn({ agent, identities: [at("stranger.pub")] })).toMatchObject({ code: "login-refused" });
    expect(await logIn({ agent, identities: [at("locked")] })).toMatchObject({
      code: "login-refused",
      message: expect.stringContaining("has a passphrase: ssh-add it to an agent"),
    });
    expect(await logIn({ agent, identities: [at("agent-ed25519.pub")] })).toBe("welcome");
  });

  test("a key with a passphrase and no agent: the message says to use one", async () => {
    expect(await logIn({ identities: [at("locked")] })).toMatchObject({
      code: "bad-configuration",
      message: expect.stringContaining("ssh-add"),
    });
  });

  test("an agent that does not answer is passed over for a key file, and named where nothing else logs in", async () => {
    const dead = at("dead.sock");
    expect(await logIn({ agent: dead })).toBe("welcome");
    expect(await logIn({ agent: dead, identities: [at("stranger")] })).toMatchObject({
      code: "login-refused",
      message: expect.stringContaining("the agent does not answer"),
    });
  });

  test("an agent of more keys than the host tries is a refused login, not a host to try again", async () => {
    for (const name of ["a", "b", "c"])
      await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(`many-${name}`)]);
    const many = ["many-a", "many-b", "many-c"];
    await addToAgent(...many);
    const identities = many.map((name) => at(`${name}.pub`));
    expect(await logIn({ agent, identities })).toMatchObject({ code: "login-refused" });
  });

  test("a stranger's key is refused", async () => {
    expect(await logIn({ identities: [at("stranger")] })).toMatchObject({ code: "login-refused" });
  });

  test("a key that client.toml names has to be there", async () => {
    expect(await logIn({ identities: [at("nothing")] })).toMatchObject({ code: "bad-configuration" });
    await writeFile(at("garbage"), "garbage");
    expect(await logIn({ identities: [at("garbage")] })).toMatchObject({ code: "bad-configuration" });
  });
});

describe("which host is believed", () => {
  const known = async (...lines: string[]) => {
    const file = at(`known-${Math.random()}`);
    await writeFile(file, `${lines.join("\n")}\n`);
    return { file, sshConfigFile: await configWith(`UserKnownHostsFile ${file}`) };
  };
  const name = () => `[127.0.0.1]:${server.port}`;

  test("the one that is pinned, and only by the pin", async () => {
    const nobody = await known();
    expect(await logIn({ ...nobody, hostKey: hostKeyOf(server) })).toBe("welcome");
    const another = parseHostKey(await publicKey("stranger"));
    expect(await logIn({ hostKey: another })).toMatchObject({ code: "host-not-trusted" });
    expect(await logIn({ hostKey: parseHostKey(await publicKey("rsa")) })).toMatchObject({
      code: "host-not-trusted",
    });
  });

  test("one whose name is hashed in known_hosts", async () => {
    const { file, sshConfigFile } = await known(`${name()} ${server.hostKey}`);
    await runOk("ssh-keygen", ["-q", "-H", "-f", file]);
    expect(await readFile(file, "utf8")).not.toContain("127.0.0.1");
    expect(await logIn({ sshConfigFile })).toBe("welcome");
  });

  test("one that only the second known_hosts file knows", async () => {
    const first = await known();
    const second = await known(`${name()} ${server.hostKey}`);
    const sshConfigFile = await configWith(`UserKnownHostsFile /nonexistent ${first.file} ${second.file}`);
    expect(await logIn({ sshConfigFile })).toBe("welcome");
  });

  test("not an unknown one, nor one of another port; the message shows its key", async () => {
    const fingerprint = (await runOk("ssh-keygen", ["-lf", "-"], { stdin: server.hostKey }))
      .toString()
      .split(" ")[1];
    for (const line of ["", `127.0.0.1 ${server.hostKey}`, `[127.0.0.1]:1 ${server.hostKey}`]) {
      expect(await logIn(await known(line))).toMatchObject({
        code: "host-not-trusted",
        message: expect.stringContaining(`${fingerprint}, which nothing vouches for`),
      });
    }
  });

  test("not one with another key than it had, of the same type or not", async () => {
    for (const key of ["stranger", "rsa"])
      expect(await logIn(await known(`${name()} ${await publicKey(key)}`))).toMatchObject({
        code: "host-not-trusted",
      });
  });

  test("not one whose key is revoked, wherever that stands", async () => {
    const good = `${name()} ${server.hostKey}`;
    const revoked = `@revoked * ${server.hostKey}`;
    for (const lines of [[good, revoked], [revoked, good], [revoked]])
      expect(await logIn(await known(...lines))).toMatchObject({
        code: "host-not-trusted",
        message: expect.stringContaining("revokes"),
      });
    const first = await known(good);
    const second = await known(revoked);
    const sshConfigFile = await configWith(`UserKnownHostsFile ${first.file} ${second.file}`);
    expect(await logIn({ sshConfigFile })).toMatchObject({ code: "host-not-trusted" });
  });

  test("not one known by a certificate, which ssh itself checks", async () => {
    expect(await logIn(await known(`@cert-authority * ${server.hostKey}`))).toMatchObject({
      code: "host-not-trusted",
      message: expect.stringContaining("ssh_command"),
    });
  });

  test("a type of key that only ssh checks is no reason to take another", async () => {
    const type = "sk-ssh-ed25519@openssh.com";
    const blob = Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type), Buffer.alloc(40)]);
    const key = `${type} ${blob.toString("base64")}`;
    expect(await logIn({ hostKey: parseHostKey(key) })).toMatchObject({
      code: "bad-configuration",
      message: expect.stringContaining("ssh_command"),
    });
  });

  test("a known_hosts file that cannot be searched believes nobody", async () => {
    const sshConfigFile = await configWith(`UserKnownHostsFile ${server.identity}/below`);
    expect(await logIn({ sshConfigFile })).toMatchObject({ code: "bad-configuration" });
  });
});

test.each(["ProxyJump other", "ProxyCommand nc %h %p", "CertificateFile /c"])(
  "what only ssh does is not passed over: %s",
  async (line) => {
    expect(await logIn({ sshConfigFile: await configWith(line) })).toMatchObject({
      code: "bad-configuration",
      message: expect.stringContaining("ssh_command"),
    });
  },
);

test("an ssh_config that OpenSSH refuses is a mistake of the configuration", async () => {
  expect(await codeOf(connectToHost(clientOf(server, { sshConfigFile: "/nonexistent" })))).toBe(
    "bad-configuration",
  );
});
