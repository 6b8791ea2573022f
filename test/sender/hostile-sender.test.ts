import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { openRemoteLogs } from "../../src/cli/open-remote-logs.ts";
import type { Config, SshRemoteLog } from "../../src/config/config.ts";
import { NO_JOURNAL } from "../../src/journal.ts";
import { cosign } from "../../src/log/cosignature.ts";
import { haltReason } from "../../src/log/halt.ts";
import type { Ledger } from "../../src/log/ledger.ts";
import { encodeMessage } from "../../src/log/remote/message.ts";
import { Fault } from "../../src/outcome.ts";
import { readLine } from "../../src/sender/read-line.ts";
import { CollectorThroughSender } from "../../src/sender/through-sender.ts";
import { at, freshLedger, sign } from "../log/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { FakeLogHost } from "../support/log-host.ts";
import { tempDir } from "../support/temp-dir.ts";
import { openLine, syslogLog } from "./fixture.ts";

// Whoever holds the sender's account can lie, keep silent and flood. It gets no signature out, and stops nothing for longer
// than the timeout.

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

type Conduct = (socket: Socket) => void;

const OPENED = '{"kind":"opened"}\n';

interface FakeSender {
  /** The first lines of its connections. */
  readonly asked: readonly string[];
  stop(): void;
}

/** Something that listens where the sender should, and reads the first line. */
async function fakeSender(path: string, conduct: Conduct): Promise<FakeSender> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    asked.push((await readLine(socket, 1000)) ?? "nothing");
    if (!socket.destroyed) conduct(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) server.close();
  };
  cleanup.add(stop);
  return { asked, stop };
}

async function endless(socket: Socket, text: string, first = ""): Promise<void> {
  socket.write(first);
  const chunk = Buffer.from(text.repeat(Math.ceil(65_536 / text.length)));
  while (!socket.destroyed && socket.writable) {
    if (!socket.write(chunk))
      await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
  }
}

async function scene(conduct: Conduct, timeoutMs = 500) {
  const { ledger, directory } = freshLedger();
  const fake = new FakeLogHost(ledger.verifier);
  const path = join(await tempDir(cleanup), "sender.sock");
  const source = {
    kind: "ssh",
    name: "loghost",
    required: true,
    timeoutMs,
    witness: fake.witnessKey,
  } as SshRemoteLog;
  const config = { stateDirectory: directory, remoteLogs: [source] } as unknown as Config;
  const logs = await openRemoteLogs(config, ledger, NO_JOURNAL, { via: { sender: path } });
  cleanup.add(() => logs.finish());
  const sender = await fakeSender(path, conduct);
  return { ledger, directory, fake, path, logs, sender };
}

const honest =
  (fake: FakeLogHost): Conduct =>
  (socket) => {
    socket.write(OPENED);
    void fake.serve(socket);
  };

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "released";
  } catch (error) {
    if (error instanceof Fault) return `${error.code}: ${error.message}`;
    throw error;
  }
}

/** The log host's hello, with what comes behind it. */
const greeted =
  (make: () => FakeLogHost, then: Conduct): Conduct =>
  (socket) => {
    socket.write(`${OPENED}${encodeMessage(make().hello())}\n`);
    then(socket);
  };

/** Answers each append with this note. */
const cosigns =
  (note: () => string): Conduct =>
  (socket) =>
    void socket.on("data", (chunk: Buffer) => {
      if (chunk.includes('"kind":"append"'))
        socket.write(`${encodeMessage({ kind: "cosigned", note: note() })}\n`);
    });

let fake: FakeLogHost;
let ledger: Ledger;

const CASES: readonly [string, Conduct, RegExp][] = [
  ["says nothing", () => undefined, /timed out/],
  ["ends at once", (socket) => socket.end(), /cannot be reached/],
  ["breaks at once", (socket) => socket.destroy(), /cannot be reached/],
  ["sends garbage", (socket) => socket.write("garbage\n"), /does not speak its protocol/],
  ["sends a line without end", (socket) => void endless(socket, "x"), /does not speak its protocol/],
  ["sends lines without end", (socket) => void endless(socket, "x\n"), /does not speak its protocol/],
  ["says that all is sent", (socket) => socket.write('{"kind":"sent"}\n'), /does not speak its protocol/],
  [
    "refuses, with words for a terminal",
    (socket) => socket.end('{"code":"busy","kind":"failed","reason":"\\u001b[31m"}\n'),
    /does not speak its protocol/,
  ],
  [
    "refuses",
    (socket) => socket.end('{"code":"busy","kind":"failed","reason":"there is \\"none\\""}\n'),
    /the sender process says busy, "there is \\"none\\""; the same request/,
  ],
  ["opens and says nothing", (socket) => socket.write(OPENED), /timed out/],
  ["opens and ends", (socket) => socket.end(OPENED), /it ended the connection/],
  ["opens twice", (socket) => socket.write(`${OPENED}${OPENED}`), /does not speak the remote log's protocol/],
  [
    "opens and sends bytes without end",
    (socket) => void endless(socket, "x", OPENED),
    /does not speak the remote log's protocol/,
  ],
  [
    "greets as another log host",
    greeted(
      () => new FakeLogHost(ledger.verifier),
      () => undefined,
    ),
    /its witness key is not the configured one/,
  ],
  [
    "greets and says nothing more",
    greeted(
      () => fake,
      () => undefined,
    ),
    /timed out/,
  ],
  [
    "greets again and again",
    greeted(
      () => fake,
      (socket) => void endless(socket, `${encodeMessage(fake.hello())}\n`),
    ),
    /not answer as expected/,
  ],
  [
    "acknowledges with the checkpoint as it was sent",
    greeted(
      () => fake,
      cosigns(() => ledger.checkpoint()),
    ),
    /not cosigned/,
  ],
  [
    "acknowledges with another witness's cosignature",
    greeted(
      () => fake,
      cosigns(() => cosign(ledger.checkpoint(), new FakeLogHost(ledger.verifier).witness, new Date())),
    ),
    /not cosigned/,
  ],
];

describe("a sender that", () => {
  test.each(CASES)(
    "%s gets no signature out, and the next one that is honest does",
    async (_, conduct, reason) => {
      const made = await scene((socket) => conduct(socket));
      ({ fake, ledger } = made);
      const one = await sign(made.ledger, at(1));
      const memory = process.memoryUsage().rss;
      expect(await codeOf(made.logs.release(one))).toMatch(reason);
      expect(process.memoryUsage().rss - memory).toBeLessThan(64 * 1024 ** 2);
      expect(await codeOf(made.logs.ready().then(() => made.logs.release(one)))).toMatch(
        /^remote-log-unavailable: /,
      );
      expect(made.sender.asked[0]).toBe(openLine("loghost").trim());
      expect(haltReason(made.directory)).toBeUndefined();

      made.sender.stop();
      await fakeSender(made.path, honest(fake));
      await expect.poll(() => codeOf(made.logs.release(one)), { timeout: 10_000 }).toBe("released");
      expect(fake.entries).toHaveLength(2);
    },
  );

  test("acknowledges with the cosignature of another log gets no signature out", async () => {
    const other = freshLedger();
    const made = await scene((socket) =>
      greeted(
        () => made.fake,
        cosigns(() => cosign(other.ledger.checkpoint(), made.fake.witness, new Date())),
      )(socket),
    );
    await sign(other.ledger, at(1));
    expect(await codeOf(made.logs.release(await sign(made.ledger, at(1))))).toMatch(/not of this log/);
    expect(haltReason(made.directory)).toBeUndefined();
  });

  test("is not there is said to be, and the next one is found", async () => {
    const made = await scene(() => undefined);
    made.sender.stop();
    expect(await codeOf(made.logs.ready())).toBe(
      "remote-log-unavailable: the remote log loghost did not answer: the sender process cannot be reached",
    );
    await fakeSender(made.path, honest(made.fake));
    await made.logs.ready();
  });
});

describe("of a syslog collector, a sender that", () => {
  async function syslogScene(conduct: Conduct) {
    const { ledger, directory } = freshLedger();
    const path = join(await tempDir(cleanup), "sender.sock");
    const config = {
      stateDirectory: directory,
      remoteLogs: [syslogLog(6514, "/nonexistent", { timeoutMs: 500 })],
    } as unknown as Config;
    const warnings: string[] = [];
    const journal = { ...NO_JOURNAL, warn: (_: unknown, message: string) => void warnings.push(message) };
    const logs = await openRemoteLogs(config, ledger, journal, { via: { sender: path } });
    await fakeSender(path, conduct);
    const one = await sign(ledger, at(1));
    expect(await codeOf(logs.release(one))).toBe("released"); // nobody waits for it
    await logs.finish();
    return { warnings, sent: ledger.forwardedSize("siem") };
  }

  const reads: Conduct = (socket) => void socket.resume();
  const lastWord =
    (word: string): Conduct =>
    (socket) => {
      socket.write(OPENED);
      socket.resume().once("end", () => socket.end(word));
    };

  test("says at the end that all is sent is believed, as the collector would be", async () => {
    expect(await syslogScene(lastWord('{"kind":"sent"}\n'))).toEqual({ warnings: [], sent: 2 });
  });

  test("says so before there is an end has sent nothing, and is not used", async () => {
    const path = join(await tempDir(cleanup), "sender.sock");
    await fakeSender(path, (socket) => socket.resume().write(`${OPENED}{"kind":"sent"}\n`));
    const connection = new CollectorThroughSender(path, syslogLog(6514, "/nonexistent"));
    await expect.poll(() => connection.isUsable).toBe(false);
    await expect(connection.send([])).rejects.toThrow("does not speak its protocol");
    connection.close();
  });

  test.each<[string, Conduct, RegExp]>([
    ["says nothing at the end", lastWord(""), /the sender process has ended the connection/],
    ["says something else at the end", lastWord("sent\n"), /does not speak its protocol/],
    ["says that it failed", lastWord('{"code":"busy","kind":"failed","reason":"no"}\n'), /says busy, "no"/],
    ["never answers", reads, /timed out/],
    ["never ends", (socket) => void socket.resume().write(OPENED), /timed out/],
    ["reads nothing", (socket) => void socket.pause().write(OPENED), /timed out/],
    ["floods", (socket) => void endless(socket.resume(), "x", OPENED), /does not speak/],
    ["breaks", (socket) => void socket.end(OPENED, () => socket.destroy()), /the sender process/],
  ])("%s has sent nothing", async (_, conduct, reason) => {
    const { warnings, sent } = await syslogScene(conduct);
    expect(sent).toBe(0);
    expect(warnings).toEqual([expect.stringMatching(reason)]);
  });
});
