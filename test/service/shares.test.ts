import type { Socket } from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import { encodeFrame } from "../../src/service/frame.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { ANY_RULES, rule } from "../support/signing-host.ts";
import { connectTo, type SigningServiceUnderTest, startSigningService } from "../support/signing-service.ts";
import { ask, requestFrame, TestRelay } from "./conversation.ts";

// What one client does to its own socket keeps nobody else from a signature.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });
const TWO_CLIENTS = ANY_RULES + rule({ id: "releng-db", client: "releng", type: "db" });
const SIGNED = ["proceed", "output", "answered", "closed"];

/** A request that has leave to send and sends only its first bytes. */
async function stall(service: SigningServiceUnderTest, client: string): Promise<TestRelay> {
  const relay = await TestRelay.connect(service.socket(client));
  relay.send(requestFrame(NAME));
  await relay.until("proceed");
  relay.send(encodeFrame("data", database.subarray(0, 50)));
  return relay;
}

describe("with the defaults", () => {
  test("eleven connections that say nothing, which stopped OBS signd, and a thousand, stop nobody", async () => {
    const service = await startSigningService(cleanup, { rules: TWO_CLIENTS });
    const idle: Socket[] = [];
    for (const count of [11, 1000]) {
      while (idle.length < count) idle.push(await connectTo(service.socket("releng")));
      expect((await ask(service.socket("repos"), NAME, database)).words).toEqual(SIGNED);
    }
    for (const socket of idle) socket.destroy();
    expect((await ask(service.socket("releng"), NAME, database)).words).toEqual(SIGNED);
  });

  test("requests that stall take a client's own turns, and nobody else's", async () => {
    const service = await startSigningService(cleanup, {
      rules: TWO_CLIENTS,
      settings: 'deadlines = { idle = "3 s" }',
    });
    const stalled = await Promise.all(Array.from({ length: 4 }, () => stall(service, "releng")));
    const waiting = ask(service.socket("releng"), NAME, database);
    expect((await ask(service.socket("repos"), NAME, database)).words).toEqual(SIGNED);
    for (const relay of stalled)
      expect((await relay.heard()).words).toEqual(["proceed", "timed-out", "closed"]);
    expect((await waiting).words.at(-2)).toMatch(/^(?:answered|busy)$/);
  });

  test("a client that floods with whole files does not keep another from its signatures", async () => {
    const service = await startSigningService(cleanup, { rules: TWO_CLIENTS });
    const large = buildDatabase({ packages: 2000, kind: "db" });
    let isOver = false;
    const flood = Array.from({ length: 40 }, async () => {
      while (!isOver) await ask(service.socket("releng"), NAME, large).catch(() => undefined);
    });
    for (let count = 0; count < 10; count += 1) {
      const bytes = buildDatabase({ packages: 1, kind: "db", seed: count });
      expect((await ask(service.socket("repos"), NAME, bytes)).words).toEqual(SIGNED);
    }
    isOver = true;
    await Promise.all(flood);
  });
});

test("a connection too many is told so at once, and there is room again when one ends", async () => {
  const service = await startSigningService(cleanup, { service: "max_connections = 2" });
  const open = [await stall(service, "repos"), await stall(service, "repos")];
  expect((await ask(service.socket(), NAME, database)).words).toEqual(["busy", "closed"]);
  open[0]?.socket.destroy();
  let words: readonly string[] = [];
  while (words[0] !== "proceed") ({ words } = await ask(service.socket(), NAME, database));
  expect(words).toEqual(SIGNED);
  open[1]?.socket.destroy();
});

test("with one turn at a time a second request waits for it, not longer than the deadline, and is then told so", async () => {
  const service = await startSigningService(cleanup, {
    service: "max_active = 1",
    settings: 'deadlines = { idle = "2 s", total = "1 min" }',
  });
  const first = await stall(service, "repos");
  const busy = ask(service.socket(), NAME, database);
  const alive = setInterval(() => first.send(encodeFrame("data", database.subarray(50, 51))), 500);
  expect((await busy).words).toEqual(["busy", "closed"]);
  const next = ask(service.socket(), NAME, database);
  clearInterval(alive);
  first.socket.destroy();
  expect((await next).words).toEqual(SIGNED);
});

test("many requests at once of several clients take no more than the limit, and each signature has its entry", async () => {
  const limits = ["10 per day"];
  const service = await startSigningService(cleanup, {
    rules:
      rule({ id: "ten", type: "db", limits }) + rule({ id: "ten-too", client: "releng", type: "db", limits }),
    service: "max_connections = 100, max_active = 50",
  });
  const all = await Promise.all(
    Array.from({ length: 80 }, (_, seed) =>
      ask(
        service.socket(seed % 2 === 0 ? "repos" : "releng"),
        NAME,
        buildDatabase({ packages: 1, kind: "db", seed }),
      ),
    ),
  );
  const delivered = all.filter(({ words }) => words.includes("answered")).map(({ output }) => output);
  expect(delivered).toHaveLength(20);
  expect(all.filter(({ words }) => words.includes("over-limit"))).toHaveLength(60);
  const signed = service.host.requests().filter((entry) => entry.kind === "signed");
  expect(signed.map(({ signature }) => signature).toSorted()).toEqual(
    delivered.map((signature) => signature.toString("base64")).toSorted(),
  );
});
