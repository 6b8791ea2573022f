import { getEventListeners } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SshRemoteLog } from "../../../src/config/config.ts";
import { LogHost } from "../../../src/log/remote/log-host.ts";
import { connectSsh } from "../../../src/log/remote/ssh-connection.ts";
import { Fault } from "../../../src/outcome.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { newWitness } from "../../support/log-host.ts";
import { runOk } from "../../support/run.ts";
import { type SshServer, startSshd } from "../../support/sshd.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { freshLedger } from "../fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** Runs what the client asks for, so that a test can see what that is; `cat` gives back what it gets. */
const COMMAND = 'echo "to stderr: $SSH_ORIGINAL_COMMAND" >&2; exec cat';

let server: SshServer;
let folder: string;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  server = await startSshd(cleanup, {
    authorizedKeys: (key) => `restrict,command="${COMMAND.replaceAll('"', '\\"')}" ${key}\n`,
  });
});

const NEVER = new AbortController().signal;

/** The configured remote log that the server is. */
function remote(changed: Partial<SshRemoteLog> = {}): SshRemoteLog {
  const [type = "", base64 = ""] = server.hostKey.split(" ");
  return {
    kind: "ssh",
    name: "loghost",
    host: "127.0.0.1",
    port: server.port,
    timeoutMs: 10_000,
    user: userInfo().username,
    keyFile: server.identity,
    hostKey: { type, blob: Buffer.from(base64, "base64") },
    witness: newWitness().key,
    required: true,
    ...changed,
  };
}

/** A new key's file, and its public half as `host_key` has it. */
async function newKey(type: string, name: string, passphrase = "") {
  const file = join(folder, name);
  await runOk("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", file]);
  const [keyType = "", base64 = ""] = (await runOk("ssh-keygen", ["-y", "-P", passphrase, "-f", file]))
    .toString()
    .split(" ");
  return { file, hostKey: { type: keyType, blob: Buffer.from(base64, "base64") } };
}

/** A server of TCP alone. */
async function tcpServer(serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    serve(socket);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => tcp.once("listening", resolve));
  cleanup.add(() => {
    for (const socket of sockets) socket.destroy();
    tcp.close();
  });
  return (tcp.address() as AddressInfo).port;
}

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => new Error("no fault"),
    (error: unknown) => error,
  );
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe("remote-log-unavailable");
  return error;
}

test("the pinned host and the key of the file: the forced command's streams are there", async () => {
  const { stream, said, close, broken } = await connectSsh(remote(), NEVER);
  stream.write("a line\n");
  const [chunk] = (await new Promise((resolve) => stream.once("data", (data) => resolve([data])))) as [
    Buffer,
  ];
  expect(chunk.toString()).toBe("a line\n");
  expect(said()).toBe('"to stderr: receive"');
  expect(broken.aborted).toBe(false);
  close();
});

describe("says in one line why there is no connection:", () => {
  const DID_NOT = "the remote log loghost did not answer: ";

  test("another host key, of the same type and of another", async () => {
    for (const type of ["ed25519", "ecdsa", "rsa"]) {
      const { hostKey } = await newKey(type, `host-${type}`);
      const { message } = await faultOf(connectSsh(remote({ hostKey }), NEVER));
      expect(message, type).toBe(`${DID_NOT}its host key is not the pinned one`);
    }
    // Nobody was logged in, nor was a key shown.
    expect(await server.log()).not.toContain("host-");
  });

  test("a host key that only begins as the pinned one", async () => {
    const { hostKey } = remote();
    const blob = Buffer.concat([hostKey.blob, Buffer.of(0)]);
    const { message } = await faultOf(connectSsh(remote({ hostKey: { ...hostKey, blob } }), NEVER));
    expect(message).toBe(`${DID_NOT}its host key is not the pinned one`);
  });

  test("a key that does not log in", async () => {
    const { file } = await newKey("ed25519", "stranger");
    expect((await faultOf(connectSsh(remote({ keyFile: file }), NEVER))).message).toBe(
      `${DID_NOT}it refused the key`,
    );
  });

  test("a key file that is missing, no key, or locked", async () => {
    const { file: locked } = await newKey("ed25519", "locked", "a passphrase");
    await writeFile(join(folder, "garbage"), "garbage");
    const missing = await faultOf(connectSsh(remote({ keyFile: join(folder, "missing") }), NEVER));
    expect(missing.message).toBe(`${DID_NOT}the key that logs into it cannot be read`);
    for (const keyFile of [join(folder, "garbage"), locked]) {
      const { message } = await faultOf(connectSsh(remote({ keyFile }), NEVER));
      expect(message).toBe(`${DID_NOT}the key that logs into it is no OpenSSH key without a passphrase`);
    }
  });

  test("a host key of a type that nobody here can verify", async () => {
    const hostKey = { type: "ssh-xmss@openssh.com", blob: Buffer.alloc(32) };
    expect((await faultOf(connectSsh(remote({ hostKey }), NEVER))).message).toBe(
      `${DID_NOT}host keys of type "ssh-xmss@openssh.com" are not supported`,
    );
  });

  test("nothing there, no such name, no SSH, an end at once", async () => {
    const closed = await tcpServer((socket) => socket.end());
    const http = await tcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const message = async (changed: Partial<SshRemoteLog>) =>
      (await faultOf(connectSsh(remote(changed), NEVER))).message;
    expect(await message({ port: 1 })).toBe(`${DID_NOT}connection refused`);
    expect(await message({ port: closed })).toMatch(/it ended the connection|does not speak SSH/);
    expect(await message({ port: http })).toMatch(/does not speak SSH/);
    expect(await message({ host: "nowhere.invalid" })).toMatch(
      /its name (has no address|cannot be looked up)/,
    );
  });

  test("silence, at the latest after the timeout", async () => {
    const port = await tcpServer(() => undefined);
    const { ledger } = freshLedger();
    const { message } = await faultOf(LogHost.connect(remote({ port, timeoutMs: 300 }), ledger.verifier));
    expect(message).toBe(`${DID_NOT}timed out`);
    const cat = await faultOf(LogHost.connect(remote({ timeoutMs: 1500 }), ledger.verifier));
    expect(cat.message).toBe(`${DID_NOT}timed out`);
  });

  test("a command that ends before it has said anything; what it said instead is for the journal", async () => {
    const failing = await startSshd(cleanup, {
      authorizedKeys: (key) =>
        `restrict,command="printf 'no copy \\033[31m of that name' >&2; exit 78" ${key}\n`,
    });
    const [type = "", base64 = ""] = failing.hostKey.split(" ");
    const hostKey = { type, blob: Buffer.from(base64, "base64") };
    const there = remote({ port: failing.port, keyFile: failing.identity, hostKey });
    const fault = await faultOf(LogHost.connect(there, freshLedger().ledger.verifier));
    expect(fault.message).toBe(`${DID_NOT}it ended the connection`);
    expect(fault.cause).toMatchObject({ message: 'it said "no copy \\x1b[31m of that name"' });
  });
});

test("gives up when it is told to, while it connects and later", async () => {
  const fault = new Fault("remote-log-unavailable", "enough");
  const early = new AbortController();
  const connecting = faultOf(connectSsh(remote(), early.signal));
  early.abort(fault);
  expect(await connecting).toBe(fault);
  const late = new AbortController();
  const { broken } = await connectSsh(remote(), late.signal);
  late.abort(fault);
  expect(broken.reason).toBe(fault);
});

test("leaves nothing behind at a signal that lives longer than the connection", async () => {
  const { signal } = new AbortController();
  const { close } = await connectSsh(remote(), signal);
  close();
  await faultOf(connectSsh(remote({ port: 1 }), signal));
  await expect.poll(() => getEventListeners(signal, "abort")).toEqual([]);
});
