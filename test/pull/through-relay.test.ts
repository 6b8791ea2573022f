import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { MAX_ANSWER_BYTES } from "../../src/exchange/answer.ts";
import { Fault, refusal } from "../../src/outcome.ts";
import { ThroughRelay } from "../../src/pull/through-relay.ts";
import { type Peer, parseAddress } from "../../src/request/peer.ts";
import { encodeFrame, encodePieces, FrameReader } from "../../src/service/frame.ts";
import { encodeRelayOutcome, parseRelayRequest, type RelayOutcome } from "../../src/service/relay-message.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { announced } from "./announcer.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const FILE = announced(7, { name: "core.db.tar.gz", bytes: Buffer.from("core"), for: "alice" });
const address = parseAddress("192.0.2.10");
if (address === undefined) throw new Error("no address");
const PEER: Peer = { address, sshKey: `SHA256:${"a".repeat(43)}` };
const NEVER = new AbortController().signal;

/** What a service heard on its one connection, and what it says when it has heard a frame of that kind. */
async function startService(
  says: (
    kind: string,
  ) => { readonly output?: Uint8Array; readonly outcome?: RelayOutcome } | "proceed" | undefined,
) {
  const path = join(await tempDir(cleanup), "repos.sock");
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const reader = new FrameReader("relay");
    socket.on("error", () => undefined);
    socket.on("close", () => heard.push("closed"));
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.push(chunk) ?? []) {
        const text = frame.kind === "request" ? JSON.stringify(parseRelayRequest(frame.payload)) : "";
        heard.push(`${frame.kind}${text}`);
        const answer = says(frame.kind);
        if (answer === "proceed") socket.write(encodeFrame("proceed"));
        else if (answer !== undefined) {
          if (answer.output !== undefined) socket.write(encodePieces("output", answer.output));
          if (answer.outcome !== undefined)
            socket.end(encodeFrame("outcome", encodeRelayOutcome(answer.outcome)));
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanup.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { signing: new ThroughRelay(path), heard };
}

const ANSWERED: RelayOutcome = { kind: "answered" };
const file = () => Readable.from([Buffer.from("co"), Buffer.from("re")], { objectMode: false });

test("a request is that of the forced command, with where the connection leads to; what comes back is the signature", async () => {
  const { signing, heard } = await startService((kind) =>
    kind === "request"
      ? "proceed"
      : kind === "end-of-data"
        ? { output: Buffer.from("sig"), outcome: ANSWERED }
        : undefined,
  );
  const signature = await signing.sign(FILE, PEER, file(), NEVER);
  expect(Buffer.from(signature as Uint8Array).toString()).toBe("sig");
  expect(heard[0]).toBe(
    `request${JSON.stringify({ command: "sign --for alice core.db.tar.gz", address: "192.0.2.10", sshKey: PEER.sshKey })}`,
  );
  expect(heard.filter((each) => each === "end-of-data")).toHaveLength(1);
});

describe("the service is never told that a file has ended", () => {
  test("that failed: the file's own fault is thrown, and the connection is given up", async () => {
    const { signing, heard } = await startService((kind) => (kind === "request" ? "proceed" : undefined));
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from("core");
        throw new Fault("pull-state-failed", "it has changed");
      })(),
      { objectMode: false },
    );
    await expect(signing.sign(FILE, PEER, broken, NEVER)).rejects.toMatchObject({
      code: "pull-state-failed",
    });
    await expect.poll(() => heard).toContain("closed");
    expect(heard).not.toContain("end-of-data");
  });
});

test("what the service refuses is a value; what it could not do, or would not say, is thrown", async () => {
  const outcomes: RelayOutcome[] = [
    { kind: "failed", code: "over-limit", reason: "why" },
    { kind: "failed", code: "clock-behind", reason: "why" },
    { kind: "failed", code: "internal", reason: "why" },
  ];
  const results: unknown[] = [];
  for (const outcome of outcomes) {
    const { signing } = await startService(() => ({ outcome }));
    results.push(await signing.sign(FILE, PEER, file(), NEVER).catch((error: unknown) => error));
  }
  expect(results).toEqual([
    refusal("over-limit", "why"),
    expect.objectContaining({ code: "clock-behind", message: "why" }),
    expect.objectContaining({ message: "the signing service failed: why" }),
  ]);
  const { signing } = await startService((kind) =>
    kind === "request" ? { output: Buffer.alloc(MAX_ANSWER_BYTES + 1), outcome: ANSWERED } : undefined,
  );
  await expect(signing.sign(FILE, PEER, file(), NEVER)).rejects.toMatchObject({
    code: "service-unavailable",
  });
});

test("it can be given up, also while the service thinks", async () => {
  const { signing, heard } = await startService((kind) => (kind === "request" ? "proceed" : undefined));
  const giveUp = new AbortController();
  const asked = signing.sign(FILE, PEER, file(), giveUp.signal);
  await expect.poll(() => heard).toContain("end-of-data");
  await sleep(20);
  expect(heard).not.toContain("closed");
  giveUp.abort();
  await expect(asked).rejects.toMatchObject({ code: "service-unavailable" });
  await expect.poll(() => heard).toContain("closed");
});

describe("a report", () => {
  const bad = { ...refusal("bad-notification", "it is not signed"), code: "bad-notification" } as const;

  test("is logged where the service says the same", async () => {
    const { code, reason } = bad;
    const { signing, heard } = await startService(() => ({ outcome: { kind: "failed", code, reason } }));
    await signing.report(bad, PEER, NEVER);
    const request = { address: "192.0.2.10", sshKey: PEER.sshKey, report: { code, reason } };
    expect(heard[0]).toBe(`request${JSON.stringify(request)}`);
  });

  test.each<RelayOutcome>([
    { kind: "failed", code: "busy", reason: "later" },
    { kind: "failed", code: "bad-request", reason: "another version" },
    { kind: "answered" },
  ])("is to be made again where it says %j", async (outcome) => {
    const { signing } = await startService(() => ({ output: Buffer.from("x"), outcome }));
    await expect(signing.report(bad, PEER, NEVER)).rejects.toMatchObject({ code: "service-unavailable" });
  });
});
