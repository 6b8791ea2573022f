import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SshRemoteLog } from "../../src/config/config.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { openLine, rawConnection, type SenderUnderTest, sshLog, startSender } from "./fixture.ts";

// The sender as whoever may connect to its socket meets it; the log hosts are the real sshd.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const OPENED = '{"kind":"opened"}\n';

let echo: SshRemoteLog;
let sender: SenderUnderTest;
beforeAll(async () => {
  echo = await sshLog(cleanup, "exec cat");
  sender = await startSender(cleanup, [echo, { ...echo, name: "another" }]);
});

const open = (first: string, path = sender.path) => rawConnection(cleanup, path, first);

/** What a connection is told that is refused. */
async function refusal(first: string, path = sender.path): Promise<string> {
  const connection = open(first, path);
  const { kind, ...members } = JSON.parse(await connection.whole());
  expect(kind).toBe("failed");
  return Object.values(members).join(": ");
}

describe("bytes", () => {
  test("are passed on both ways, what was sent before the answer too, and the end is", async () => {
    const bytes = randomBytes(5 * 1024 ** 2);
    const { socket, whole } = open(openLine("loghost"));
    socket.write(bytes.subarray(0, 1000));
    for (let at = 1000; at < bytes.length; at += 65_536)
      if (!socket.write(bytes.subarray(at, Math.min(at + 65_536, bytes.length)))) await once(socket, "drain");
    socket.end();
    const came = Buffer.from(await whole(), "latin1");
    expect(came.subarray(0, OPENED.length).toString()).toBe(OPENED);
    const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
    expect(digest(came.subarray(OPENED.length))).toBe(digest(bytes));
  });

  test("of a log host that ends first come to the last one", async () => {
    const talker = await sshLog(cleanup, "head -c 3000000 /dev/zero; echo done; echo goodbye >&2; exit 3");
    const { path, said } = await startSender(cleanup, [talker]);
    const { socket, whole } = open(openLine("loghost"), path);
    const text = await whole();
    socket.end();
    expect(text).toHaveLength(OPENED.length + 3_000_000 + "done\n".length);
    expect(text.endsWith("\0done\n")).toBe(true);
    await expect.poll(() => said.at(-1)).toBe('loghost: the connection has ended; it said "goodbye"');
  });

  test("that one side does not take wait at the other: neither end gathers them", async () => {
    // The log host reads nothing; what the client can get rid of is what the pipes and windows between them hold.
    const deaf = await sshLog(cleanup, "exec sleep 600");
    const { path } = await startSender(cleanup, [deaf]);
    const { socket, firstLine } = open(openLine("loghost"), path);
    await firstLine();
    const chunk = Buffer.alloc(65_536);
    let written = 0;
    for (let isStuck = false; !isStuck && written < 64 * 1024 ** 2; written += chunk.length)
      isStuck = !socket.write(chunk) && !(await Promise.race([once(socket, "drain"), sleep(1000, false)]));
    expect(written).toBeLessThan(16 * 1024 ** 2);
    socket.destroy();

    // And the other way round: the log host never stops, and the client reads nothing.
    const talker = await sshLog(cleanup, "exec cat /dev/zero");
    const loud = await startSender(cleanup, [talker]);
    const before = process.memoryUsage().rss;
    const mute = open(openLine("loghost"), loud.path);
    await mute.firstLine();
    mute.socket.pause();
    await sleep(1000);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 ** 2);
    mute.socket.destroy();
    await expect.poll(() => loud.said.at(-1)).toContain("the connection has ended");
  });
});

describe("a connection to a log host", () => {
  test("stays open for as long as the service keeps its side open, and is one", async () => {
    const { socket, text, firstLine } = open(openLine("loghost"));
    await firstLine();
    for (let i = 0; i < 20; i++) {
      socket.write(`${i}\n`);
      await expect.poll(() => text().endsWith(`\n${i}\n`)).toBe(true);
    }
    socket.end();
  });

  test("ends with the service's", async () => {
    const folder = await tempDir(cleanup);
    const pid = join(folder, "pid");
    const host = await sshLog(cleanup, `echo $$ > ${pid}; exec cat`);
    const { path } = await startSender(cleanup, [host]);
    const { socket, firstLine } = open(openLine("loghost"), path);
    await firstLine();
    await expect.poll(() => existsSync(pid) && readFileSync(pid, "utf8")).toMatch(/^\d+\n$/);
    socket.destroy();
    await expect.poll(() => existsSync(`/proc/${readFileSync(pid, "utf8").trim()}`)).toBe(false);
  });

  test("that breaks ends the service's", async () => {
    const folder = await tempDir(cleanup);
    const pid = join(folder, "pid");
    const host = await sshLog(cleanup, `echo $PPID > ${pid}; exec cat`);
    const { path, said } = await startSender(cleanup, [host]);
    const { socket, whole, firstLine } = open(openLine("loghost"), path);
    await firstLine();
    await expect.poll(() => existsSync(pid) && readFileSync(pid, "utf8")).toMatch(/^\d+\n$/);
    process.kill(Number(readFileSync(pid, "utf8")), "SIGKILL"); // the session's sshd
    expect(await whole()).toBe(OPENED);
    socket.end();
    await expect.poll(() => said.at(-1)).toContain("the connection has ended");
  });

  test("that cannot be made is refused with the reason, in one line", async () => {
    const keyFile = join(await tempDir(cleanup), "garbage");
    writeFileSync(keyFile, "garbage");
    const [hostKey] = await Promise.all([sshLog(cleanup, "exec cat").then((log) => log.hostKey)]);
    const { path, said } = await startSender(cleanup, [
      { ...echo, name: "nobody", port: 1 },
      { ...echo, name: "impostor", hostKey },
      { ...echo, name: "keyless", keyFile },
    ]);
    const did = (name: string) => `remote-log-unavailable: the remote log ${name} did not answer: `;
    expect(await refusal(openLine("nobody"), path)).toBe(`${did("nobody")}connection refused`);
    expect(await refusal(openLine("impostor"), path)).toBe(
      `${did("impostor")}its host key is not the pinned one`,
    );
    expect(await refusal(openLine("keyless"), path)).toBe(
      `${did("keyless")}the key that logs into it is no OpenSSH key without a passphrase`,
    );
    expect(said).toHaveLength(3);
  });
});

describe("a client that", () => {
  test.each<[string, string, string]>([
    [
      "names a log that is not configured",
      openLine("elsewhere"),
      "the sender's configuration has no remote log elsewhere",
    ],
    ["names an address", '{"kind":"open","log":"192.0.2.1:22","version":1}\n', "expected a line that opens"],
    [
      "names a host beside the log",
      '{"host":"192.0.2.1","kind":"open","log":"loghost","version":1}\n',
      "expected a line",
    ],
    ["speaks another version", openLine("loghost", 2), "speaks version 1 of the protocol, not 2"],
    ["speaks another protocol", "GET / HTTP/1.1\r\n\r\n", "expected a line"],
    ["sends a line of another kind", '{"kind":"opened"}\n', "expected a line"],
    ["sends an empty line", "\n", "expected a line"],
    ["sends what is no canonical JSON", '{"version":1,"kind":"open","log":"loghost"}\n', "expected a line"],
    ["sends a line that is too long", `${" ".repeat(600)}\n`, "expected a line"],
    ["asks for a prototype", '{"kind":"constructor"}\n', "expected a line"],
  ])("%s is refused", async (_, first, reason) => {
    expect(await refusal(first)).toContain(
      `bad-configuration: ${reason}`.replace("speaks", "this sender speaks"),
    );
  });

  test("never ends its line is refused after so many bytes, and cut off", async () => {
    const { socket, whole } = open("");
    const endless = Buffer.alloc(65_536, "x");
    let isOver = false;
    socket.once("close", () => {
      isOver = true;
    });
    const writing = (async () => {
      while (!isOver && socket.writable) {
        socket.write(endless);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    expect(await whole()).toContain("expected a line that opens a remote log");
    await writing;
  });

  test("ends its side before it has asked gets no further", async () => {
    const { socket, whole } = open('{"kind":"open"');
    socket.end();
    expect(await whole()).toContain("expected a line");
  });

  test("opens many connections and says nothing keeps nobody else out, and not for long", async () => {
    const silent = Array.from({ length: 200 }, () => open(""));
    let ended = 0;
    for (const { socket } of silent)
      socket.once("end", () => {
        ended += 1;
      });
    await expect.poll(() => ended).toBeGreaterThanOrEqual(184);
    const { socket, firstLine } = open(openLine("loghost"));
    expect((await firstLine()).kind).toBe("opened");
    socket.destroy();
    await expect.poll(() => ended, { timeout: 15_000 }).toBe(200); // those that were left have had their time
  });

  test("holds all the connections to one remote log keeps nobody from another", async () => {
    const held = Array.from({ length: 4 }, () => open(openLine("loghost")));
    for (const each of held) expect((await each.firstLine()).kind).toBe("opened");
    expect(await refusal(openLine("loghost"))).toBe("busy: there are 4 connections to this remote log");
    const other = open(openLine("another"));
    expect((await other.firstLine()).kind).toBe("opened");
    for (const { socket } of [...held, other]) socket.destroy();
    await expect
      .poll(async () => (await open(openLine("loghost")).firstLine()).kind, {
        timeout: 10_000,
        interval: 200,
      })
      .toBe("opened");
  });
});

test("the end of the sender is the end of its connections", async () => {
  const { path, stop } = await startSender(cleanup, [echo]);
  const { whole, firstLine } = open(openLine("loghost"), path);
  await firstLine();
  await stop();
  expect(await whole()).toBe(OPENED);
});
