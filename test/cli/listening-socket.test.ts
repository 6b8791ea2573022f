import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { findGroup, groupIdOf } from "../../src/cli/group-file.ts";
import { type ListeningPlace, listen } from "../../src/cli/listening-socket.ts";
import { Fault } from "../../src/outcome.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function newPath(name = "test.sock"): Promise<string> {
  return join(await tempDir(cleanup), name);
}

/** A server that says "hello" and ends. */
function newServer(): Server {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("hello");
  });
  cleanup.add(() => server.close());
  return server;
}

const at = (path: string, group?: string): ListeningPlace => ({ kind: "path", path, group });

async function faultOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error("no fault"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe("bad-configuration");
  return error.message;
}

async function answerAt(path: string): Promise<string> {
  const socket = connect(path);
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString();
  });
  await once(socket, "close");
  return text;
}

/** The socket that a killed process leaves behind. */
async function leaveStale(path: string): Promise<void> {
  const child = spawn(process.execPath, [
    "-e",
    `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`,
  ]);
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(existsSync(path)).toBe(true);
}

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

describe("a socket at a path", () => {
  test("is its owner's alone, whatever the umask, which stays what it was", async () => {
    const before = process.umask(0);
    try {
      const path = await newPath();
      await listen(newServer(), at(path));
      expect(modeOf(path)).toBe("600");
      expect(process.umask()).toBe(0);
      expect(await answerAt(path)).toBe("hello");
    } finally {
      process.umask(before);
    }
  });

  test("is open to a group where one is named, by name or number", async () => {
    const gid = process.getgid?.() ?? 0;
    const other = process.getuid?.() === 0 ? 12_345 : gid;
    const path = await newPath();
    await listen(newServer(), at(path, String(other)));
    expect(modeOf(path)).toBe("660");
    expect(statSync(path).gid).toBe(other);
  });

  test("is not made for a group that is not there", async () => {
    const path = await newPath();
    expect(await faultOf(listen(newServer(), at(path, "no-such-group")))).toContain(
      'no group "no-such-group"',
    );
    expect(existsSync(path)).toBe(false);
  });

  test("replaces one that a killed process left, and none that is answered at", async () => {
    const path = await newPath();
    await leaveStale(path);
    const server = newServer();
    await listen(server, at(path));
    expect(await faultOf(listen(newServer(), at(path)))).toContain("something answers at");
    expect(await answerAt(path)).toBe("hello");
    server.close();
    await once(server, "close");
    expect(existsSync(path)).toBe(false);
  });

  test("replaces nothing that is no socket", async () => {
    const path = await newPath("file");
    writeFileSync(path, "precious");
    const link = `${path}.link`;
    symlinkSync(path, link);
    const dangling = `${path}.dangling`;
    symlinkSync("/nonexistent", dangling);
    for (const each of [path, link, dangling])
      expect(await faultOf(listen(newServer(), at(each)))).toContain("is no socket");
  });

  test("has to fit a socket's address, and its folder has to be there and to be writable", async () => {
    const folder = await tempDir(cleanup);
    const long = join(folder, "x".repeat(107 - folder.length - 1));
    await listen(newServer(), at(long));
    expect(existsSync(long)).toBe(true);
    expect(await faultOf(listen(newServer(), at(`${long}x`)))).toContain("107 bytes");
    expect(await faultOf(listen(newServer(), at(join(folder, "none", "s"))))).toContain(
      "a folder that is not",
    );
    if (process.getuid?.() === 0) return;
    chmodSync(folder, 0o500);
    expect(await faultOf(listen(newServer(), at(join(folder, "s"))))).toContain("cannot be listened at");
  });
});

/** As systemd starts a service with a socket: the descriptor is 3, and the process is the one that it was opened for. */
const ACTIVATE = `
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="sender")
os.execv(sys.argv[2], sys.argv[2:])
`;

test("an inherited descriptor is listened on; one that is no socket is a mistake", async () => {
  const path = await newPath();
  const source = join(import.meta.dirname, "../../src/cli");
  const script = `
    import { createServer } from "node:net";
    import { takeEnvironment } from ${JSON.stringify(join(source, "environment.ts"))};
    import { listen } from ${JSON.stringify(join(source, "listening-socket.ts"))};
    import { inheritedSockets } from ${JSON.stringify(join(source, "systemd-sockets.ts"))};
    const fd = inheritedSockets(takeEnvironment()).get("sender");
    await listen(createServer((socket) => socket.end("inherited")), { kind: "inherited", fd });
    console.log("up");
  `;
  const args = ["-c", ACTIVATE, path, process.execPath, "--input-type=module", "-e", script];
  const child = spawn("python3", args, { stdio: ["ignore", "pipe", "inherit"] });
  cleanup.add(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  await once(child.stdout, "data");
  expect(await answerAt(path)).toBe("inherited");
  expect(await faultOf(listen(newServer(), { kind: "inherited", fd: 999 }))).toContain(
    "inherited socket 999",
  );
});

describe("groups", () => {
  const GROUPS =
    "root:x:0:\nsigner:x:990:alice,bob\nsigner:x:991:\nbroken:x:\nhuge:x:4294967295:\n# signed:x:1:\n";

  test("are looked up by their whole name, the first line counts", () => {
    expect(findGroup(GROUPS, "root")).toBe(0);
    expect(findGroup(GROUPS, "signer")).toBe(990);
    for (const name of ["sign", "alice", "broken", "huge", "signed", "", "990"])
      expect(findGroup(GROUPS, name)).toBeUndefined();
  });

  test("are numbers as they are, as far as chown takes them", async () => {
    expect(groupIdOf("12345", "/nonexistent")).toBe(12_345);
    const file = await newPath("group");
    writeFileSync(file, GROUPS);
    expect(groupIdOf("signer", file)).toBe(990);
    for (const each of ["4294967295", "007", "-1", "none"])
      expect(() => groupIdOf(each, file)).toThrow("there is no group");
    expect(() => groupIdOf("signer", "/nonexistent")).toThrow("cannot be read");
  });
});
