import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
      [encodeFrame("request", Buffer.from('{"command":"status","version":2}'))],
      ["bad-request"],
    ],
    [
      "a claim to be another client",
      [encodeFrame("request", Buffer.from('{"client":"releng","version":1}'))],
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
