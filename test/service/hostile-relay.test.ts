import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { encodeFrame, encodePieces } from "../../src/service/frame.ts";
import { encodeRelayRequest } from "../../src/service/relay-message.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type SigningServiceUnderTest, startSigningService, waitFor } from "../support/signing-service.ts";
import { ask, requestFrame, TestRelay } from "./conversation.ts";

// Whoever holds the account that SSH logs into can say anything on the socket, and nothing that the service needs.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });

let service: SigningServiceUnderTest;
beforeAll(async () => {
  service = await startSigningService(cleanup, { settings: 'deadlines = { idle = "1 s" }' });
});

/** The signatures of all entries, base64. */
function logged(): readonly string[] {
  return service.host.requests().flatMap((entry) => ("signature" in entry ? [entry.signature] : []));
}

async function say(...bytes: readonly Uint8Array[]): Promise<readonly string[]> {
  const relay = await TestRelay.connect(service.socket());
  relay.send(...bytes);
  return (await relay.heard()).words;
}

test("who speaks the protocol gets a signature, and the log has it", async () => {
  const { words, output } = await ask(service.socket(), NAME, database);
  expect(words).toEqual(["proceed", "output", "answered", "closed"]);
  expect(logged()).toContain(output.toString("base64"));
});

describe("no signature, and a coded refusal, for", () => {
  const request = requestFrame(NAME);
  const garbled = Buffer.from(request).fill(0x7b, 5);
  test.each<[string, readonly Uint8Array[], readonly string[]]>([
    ["silence", [], ["timed-out"]],
    ["part of a request", [request.subarray(0, -1)], ["timed-out"]],
    ["what is no frame", [Buffer.from("GET / HTTP/1.1\r\n\r\n")], ["bad-request"]],
    ["a frame of 4 GiB", [Buffer.from("01ffffffff", "hex")], ["bad-request"]],
    ["a request that is no JSON", [garbled], ["bad-request"]],
    [
      "another version",
      [encodeFrame("request", Buffer.from('{"command":"status","version":1}'))],
      ["bad-request"],
    ],
    [
      "a claim to be another client",
      [encodeFrame("request", Buffer.from('{"client":"releng","version":2}'))],
      ["bad-request"],
    ],
    ["data that was not asked for", [request, encodeFrame("data", database)], ["bad-request"]],
    ["a command outside the grammar", [requestFrame("rm -rf /")], ["bad-request"]],
    [
      "no address",
      [encodeFrame("request", encodeRelayRequest({ command: NAME, address: undefined, sshKey: undefined }))],
      ["foreign-address"],
    ],
    ["a request and no bytes", [request], ["proceed", "timed-out"]],
  ])("%s", async (_, bytes, expected) => {
    const before = logged().length;
    expect(await say(...bytes)).toEqual([...expected, "closed"]);
    expect(logged()).toHaveLength(before);
  });

  test("an end in the middle of the file, which is never taken for the end of the file", async () => {
    const plain = buildDatabase({ packages: 1, kind: "db", compression: "none" });
    const relay = await TestRelay.connect(service.socket());
    relay.send(requestFrame("core.db.tar"));
    await relay.until("proceed");
    relay.send(encodeFrame("data", plain)); // the whole of it, but for the word that it is whole
    relay.socket.end();
    expect((await relay.heard()).words).toEqual(["proceed", "truncated", "closed"]);
    expect(service.host.requests().at(-1)).toMatchObject({ kind: "refused", code: "truncated" });
  });

  test("a relay that is killed, which the log notes as well", async () => {
    const before = service.host.requests().length;
    const relay = await TestRelay.connect(service.socket());
    relay.send(requestFrame(NAME));
    await relay.until("proceed");
    relay.send(encodeFrame("data", database.subarray(0, 100)));
    relay.socket.destroy();
    await waitFor(() => service.host.requests().length > before);
    expect(service.host.requests().at(-1)).toMatchObject({ kind: "refused", code: "truncated" });
  });

  test("bytes behind the end of the file", async () => {
    const relay = await TestRelay.connect(service.socket());
    relay.send(requestFrame(NAME));
    await relay.until("proceed");
    relay.send(encodeFrame("data", database.subarray(0, -1)), encodeFrame("end-of-data"));
    relay.send(encodeFrame("data", database.subarray(-1)));
    expect((await relay.heard()).words.at(-2)).toMatch(/^(?:bad-request|truncated)$/);
  });
});

describe("a report of what signer pull has refused", () => {
  const address = parseAddress("192.0.2.7");
  const sshKey = `SHA256:${"a".repeat(43)}`;
  const frame = (code: "bad-notification" | "notification-rolled-back", reason: string) =>
    encodeFrame(
      "request",
      encodeRelayRequest({ command: undefined, address, sshKey, report: { code, reason } }),
    );

  test("is an entry of the log, as the client's whose socket it came through, and no more", async () => {
    expect(await say(frame("bad-notification", "it is not signed"))).toEqual(["bad-notification", "closed"]);
    const entry = service.host.requests().at(-1);
    expect(entry).toMatchObject({
      kind: "refused",
      client: "repos",
      code: "bad-notification",
      reason: "it is not signed",
    });
    expect(entry).not.toHaveProperty("name");
    const reader = LogReader.open(service.host.stateDirectory);
    try {
      expect(reader.privateRecord(entry?.seq ?? 0)).toMatchObject({ address, sshKey });
    } finally {
      reader.close();
    }
  });

  test("has nothing signed, whatever comes behind it", async () => {
    const before = logged().length;
    const bytes = buildDatabase({ packages: 1, kind: "db", seed: 77 });
    const behind = [encodePieces("data", bytes), encodeFrame("end-of-data")];
    expect((await say(frame("notification-rolled-back", "x"), ...behind)).slice(-2)).toEqual([
      "notification-rolled-back",
      "closed",
    ]);
    expect(logged()).toHaveLength(before);
  });

  test("is of two codes: no other can be put into the log", async () => {
    for (const code of ["over-limit", "log-broken", "not-permitted"]) {
      const report = Buffer.from(`{"report":{"code":"${code}","reason":"x"},"version":2}`);
      expect(await say(encodeFrame("request", report))).toEqual(["bad-request", "closed"]);
    }
  });

  test("without end fills no log", async () => {
    const before = service.host.requests().length;
    for (let count = 0; count < 15; count += 1) await say(frame("notification-rolled-back", `${count}`));
    expect(service.host.requests().length - before).toBeLessThan(10);
  });
});

test("a file without end is refused at its limit, and the outcome reaches who is still sending", async () => {
  const relay = await TestRelay.connect(service.socket());
  relay.send(requestFrame("core.db.tar"));
  await relay.until("proceed");
  const piece = encodePieces("data", Buffer.alloc(256 * 1024));
  let isOver = false;
  const heard = relay.heard().finally(() => {
    isOver = true;
  });
  // Zeros are an empty database, and more of them are none.
  for (let count = 0; count < 2000 && !isOver; count += 1) {
    if (relay.socket.write(piece)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([heard, new Promise((resolve) => relay.socket.once("drain", resolve))]);
  }
  expect((await heard).words).toEqual(["proceed", expect.stringMatching(/-/), "closed"]);
});

test("whatever is said, and wherever it is cut or changed, each signature that comes back has its entry", async () => {
  const received: string[] = [];
  const seed = { value: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        cut: fc.option(fc.nat(2000), { nil: undefined, freq: 4 }),
        flip: fc.option(fc.tuple(fc.nat(1500), fc.integer({ min: 1, max: 255 })), { nil: undefined }),
        repeat: fc.boolean(),
        waits: fc.boolean(),
        command: fc.constantFrom(NAME, undefined, "sign", "batch", "status", "key", "core.db.tar.gz x"),
      }),
      async ({ cut, flip, repeat, waits, command }) => {
        seed.value += 1;
        const bytes = buildDatabase({ packages: 1, kind: "db", seed: seed.value });
        const rest = Buffer.concat([encodeFrame("data", bytes), encodeFrame("end-of-data")]);
        const said = Buffer.concat([requestFrame(command), rest, ...(repeat ? [rest] : [])]).subarray(0, cut);
        if (flip !== undefined && flip[0] < said.length) said[flip[0]] = (said[flip[0]] ?? 0) ^ flip[1];
        const relay = await TestRelay.connect(service.socket());
        const first = waits ? Math.min(said.length, requestFrame(command).length) : said.length;
        relay.send(said.subarray(0, first));
        if (waits) await Promise.race([relay.until("proceed"), relay.heard()]);
        if (first < said.length && relay.socket.writable) relay.send(said.subarray(first));
        relay.socket.end();
        const { words, output } = await relay.heard();
        const isText = command === "status" || command === "key" || output.includes("is not complete");
        if (words.includes("output") && !isText) received.push(output.toString("base64"));
      },
    ),
    { numRuns: 150 },
  );
  expect(logged()).toEqual(expect.arrayContaining(received));
  expect(received.length, "some were signed").toBeGreaterThan(0);
  expect((await ask(service.socket(), NAME, database)).words).toContain("answered");
}, 120_000);
