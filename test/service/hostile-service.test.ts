import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { encodeFrame, encodePieces } from "../../src/service/frame.ts";
import { encodeRelayOutcome, type RelayOutcome } from "../../src/service/relay-message.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Ended, run } from "../support/run.ts";
import { outcome, SIGNER } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

// What sits at the socket may be another program, or a broken one: the relay gives the client a whole answer or none.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const ANSWERED = outcomeFrame({ kind: "answered" });
const OUTPUT = encodePieces("output", Buffer.from("a signature"));
const PROCEED = encodeFrame("proceed");

function outcomeFrame(of: RelayOutcome): Buffer {
  return encodeFrame("outcome", encodeRelayOutcome(of));
}

/** What a forced command says whose service does `serve` with each connection. */
async function relayTo(
  serve: (socket: Socket) => unknown,
  { command = NAME, stdin = Buffer.from("bytes") } = {},
): Promise<Ended> {
  const path = join(await tempDir(cleanup), "repos.sock");
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined).resume();
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanup.add(() => server.close());
  const env = {
    PATH: "/usr/bin:/bin",
    SSH_CONNECTION: "127.0.0.1 40000 127.0.0.1 22",
    SSH_ORIGINAL_COMMAND: command,
  };
  return await run(SIGNER, ["accept", "--client", "repos", "--socket", path], { env, stdin });
}

test("an answer that is whole is passed on, in however many pieces it comes", async () => {
  const { status, stdout } = await relayTo(async (socket) => {
    for (const byte of Buffer.concat([PROCEED, OUTPUT, OUTPUT, ANSWERED])) {
      socket.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  expect([status, stdout.toString()]).toEqual([0, "a signaturea signature"]);
});

test.each<[string, readonly Buffer[], string]>([
  ["goes away at once", [], "service-unavailable 69"],
  ["goes away after its output", [PROCEED, OUTPUT], "service-unavailable 69"],
  ["goes away in the middle of its outcome", [OUTPUT, ANSWERED.subarray(0, -1)], "service-unavailable 69"],
  ["speaks another protocol", [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], "service-unavailable 69"],
  ["answers nothing, and calls that an answer", [ANSWERED], "service-unavailable 69"],
  [
    "has an outcome that there is none of",
    [encodeFrame("outcome", Buffer.from('{"kind":"x"}'))],
    "service-unavailable 69",
  ],
  [
    "refuses after its output",
    [OUTPUT, outcomeFrame({ kind: "failed", code: "over-limit", reason: "no" })],
    "over-limit 75",
  ],
])("nothing is on stdout where the service %s", async (_, frames, expected) => {
  const ended = await relayTo((socket) => socket.end(Buffer.concat(frames)));
  expect(outcome(ended)).toBe(expected);
});

test("a service that answers without end is given up, in bounded memory", async () => {
  const piece = encodePieces("output", Buffer.alloc(256 * 1024));
  const ended = await relayTo((socket) => {
    const send = (): void => {
      while (socket.writable && socket.write(piece));
    };
    socket.on("drain", send);
    send();
  });
  expect(outcome(ended)).toBe("service-unavailable 69");
});

test("a batch that the service is lost in ends so that tar fails, with the signatures before it", async () => {
  const ended = await relayTo((socket) => socket.end(Buffer.concat([PROCEED, OUTPUT])), { command: "batch" });
  expect(ended.status).toBe(69);
  expect(ended.stdout.toString("latin1")).toMatch(/^a signature.*this archive is not complete/s);
  expect((await run("bsdtar", ["-tf", "-"], { stdin: ended.stdout })).status).not.toBe(0);
});

test("a refusal in the middle of a long file is heard, and the rest is not sent", async () => {
  const refused = outcomeFrame({ kind: "failed", code: "too-large", reason: "expected less" });
  const ended = await relayTo(
    (socket) => {
      socket.write(PROCEED);
      socket.once("data", () => socket.end(refused));
    },
    { stdin: Buffer.alloc(64 * 1024 * 1024) },
  );
  expect(outcome(ended)).toBe("too-large 65");
});
