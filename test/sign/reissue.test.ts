import { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { DAY, HOUR, type HostInProcess, MINUTE, makeHost, START } from "./fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const one = buildDatabase({ packages: 1, kind: "db", seed: 1 });
const other = buildDatabase({ packages: 1, kind: "db", seed: 2 });
/** One signature for ever, as far as these tests go. */
const ONCE = rule({ id: "once", type: "db", limits: ["1 per 90 days"] });

async function signature({ call }: HostInProcess, command: string | undefined, bytes: Uint8Array) {
  const answer = await call(command, bytes);
  if (answer.kind !== "signature") throw new Error(`expected a signature: ${JSON.stringify(answer)}`);
  return answer.receipt;
}

const later = (host: HostInProcess, ms: number) => {
  host.clock.now = new Date(host.clock.now.getTime() + ms);
};

describe("the same again", () => {
  test("gets the same signature, an entry of its own and no place in the limit", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    const first = await signature(host, NAME, one);
    later(host, MINUTE);
    const second = await signature(host, NAME, one);
    expect(second.signature).toEqual(first.signature);
    expect(second.entry).toMatchObject({
      kind: "reissued",
      of: first.entry.seq,
      time: "2026-11-23T12:01:00.000Z",
      rule: "once",
      signature: first.entry.signature,
    });
    expect(await host.outcome(NAME, other)).toBe("over-limit");
    expect(host.kinds()).toEqual(["started", "configured", "signed", "reissued", "refused"]);
  });

  test("is no refusal where the first takes the last place between two early looks of the second", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    const first = await signature(host, NAME, one);
    const { queries } = host.host.ledger;
    // The second request's first look at the log comes from before that entry, every later one from after it.
    let looks = 0;
    const { latestTimes } = queries;
    Object.assign(queries, {
      latestTimes: (...what: Parameters<typeof latestTimes>) => (looks++ === 0 ? [] : latestTimes(...what)),
    });
    expect((await signature(host, NAME, one)).entry).toMatchObject({ kind: "reissued", of: first.entry.seq });
    expect(looks).toBeGreaterThan(0);
  });

  test("after somebody else's requests, refused and signed, is still the same", async () => {
    const rules = rule({ id: "all", type: "db" });
    const host = await makeHost(cleanup, { rules });
    const first = await signature(host, NAME, one);
    await signature(host, NAME, other);
    await signature(host, "extra.db.tar.gz", one);
    await host.outcome(NAME, Buffer.from("x"));
    expect((await signature(host, NAME, one)).signature).toEqual(first.signature);
    expect(await host.outcome(NAME, one)).toMatch(/^reissued/);
  });

  test.each<[string, (host: HostInProcess) => Promise<string>]>([
    ["of other bytes", (host) => host.outcome(NAME, other)],
    ["under another name", (host) => host.outcome("extra.db.tar.gz", one)],
    ["without the name", (host) => host.outcome(undefined, one)],
  ])("%s is not the same", async (_, again) => {
    const host = await makeHost(cleanup, { rules: rule({ id: "two", type: "db", limits: ["2 per day"] }) });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    expect(await again(host)).toBe("signed 3");
    expect(await again(host), "now it is").toBe("reissued 4");
    expect(await host.outcome(NAME, buildDatabase({ packages: 3, kind: "db" }))).toBe("over-limit");
  });

  test("of another client is not the same", async () => {
    const rules = ONCE + rule({ id: "mirror", client: "mirror", type: "db" });
    const host = await makeHost(cleanup, { rules });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    expect(await host.outcome(NAME, one, "mirror")).toBe("signed 3");
  });

  test("with another key is not the same", async () => {
    const host = await makeHost(cleanup, { rules: rule({ id: "all", type: "db" }) });
    const first = await signature(host, NAME, one);
    await host.replaceKey();
    const second = await signature(host, NAME, one);
    expect(second.entry.kind).toBe("signed");
    expect(second.entry.key).not.toBe(first.entry.key);
  });

  test("a whole reissue_window later is the same, and a millisecond later not", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    later(host, DAY);
    expect(await host.outcome(NAME, one)).toBe("reissued 3");
    later(host, 1);
    expect(await host.outcome(NAME, one)).toBe("over-limit");
  });

  test("after a shorter reissue_window takes a place and gets a signature of now", async () => {
    const settings = 'reissue_window = "1 h"';
    const host = await makeHost(cleanup, {
      settings,
      rules: rule({ id: "two", type: "db", limits: ["2 per day"] }),
    });
    const first = await signature(host, NAME, one);
    later(host, HOUR + 1);
    const second = await signature(host, NAME, one);
    expect(second.entry.kind).toBe("signed");
    expect(second.signature).not.toEqual(first.signature);
    expect(await host.outcome(NAME, other)).toBe("over-limit");
  });

  test("is delivered ten times an hour, then refused with a time, and again when that has come", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    await signature(host, NAME, one);
    for (let count = 0; count < 10; count++) {
      expect(await host.outcome(NAME, one)).toMatch(/^reissued/);
      later(host, 6 * MINUTE - 1);
    }
    const refused = await host.call(NAME, one);
    expect(refused).toMatchObject({ kind: "refusal", code: "over-limit" });
    const when = /possible at (\S+Z)/.exec("reason" in refused ? refused.reason : "")?.[1];
    host.clock.now = new Date(Date.parse(when ?? "") - 1);
    expect(await host.outcome(NAME, one)).toBe("over-limit");
    host.clock.now = new Date(when ?? "");
    expect(await host.outcome(NAME, one)).toMatch(/^reissued/);
  });

  test("counts the ten times for each signature apart", async () => {
    const host = await makeHost(cleanup, { rules: rule({ id: "all", type: "db" }) });
    for (let count = 0; count <= 10; count++) await signature(host, NAME, one);
    expect(await host.outcome(NAME, one)).toBe("over-limit");
    for (let count = 0; count <= 10; count++) await signature(host, NAME, other);
    expect(await host.outcome(NAME, other)).toBe("over-limit");
  });

  test("is refused once the key has expired", async () => {
    const keyExpires = new Date(START.getTime() + HOUR);
    const host = await makeHost(cleanup, { rules: ONCE, keyExpires });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    later(host, HOUR - 1000);
    expect(await host.outcome(NAME, one)).toBe("reissued 3");
    later(host, 1000);
    expect(await host.outcome(NAME, one)).toBe("fault key-unusable");
    expect(host.entries().at(-1)).toMatchObject({ kind: "refused", code: "key-unusable", name: NAME });
  });

  test("is refused where the key expires while the bytes come", async () => {
    const keyExpires = new Date(START.getTime() + HOUR);
    const host = await makeHost(cleanup, { rules: ONCE, keyExpires });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    const slowly = Readable.from(
      (function* () {
        yield one.subarray(0, 10);
        later(host, HOUR);
        yield one.subarray(10);
      })(),
    );
    await expect(host.call(NAME, slowly)).rejects.toMatchObject({ code: "key-unusable" });
    expect(host.kinds()).toEqual(["started", "configured", "signed", "refused"]);
  });

  test("says beside its entry who asked this time", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    await host.outcome(`--for alice ${NAME}`, one);
    expect(await host.outcome(`--for bob ${NAME}`, one)).toBe("reissued 3");
    const reader = LogReader.open(host.stateDirectory);
    cleanup.add(() => reader.close());
    expect([2, 3].map((seq) => reader.privateRecord(seq)?.for)).toEqual(["alice", "bob"]);
  });

  test("is refused once the rules do not allow it any more", async () => {
    const host = await makeHost(cleanup, { rules: ONCE });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    host.configure(rule({ id: "once", type: "db", names: ["extra.db.tar.gz"] }));
    expect(await host.outcome(NAME, one)).toBe("not-permitted");
    host.configure(rule({ id: "once", type: "db", from: ["198.51.100.1"] }));
    expect(await host.outcome(NAME, one)).toBe("foreign-address");
    host.configure(rule({ id: "once", type: "db", max_size: "100 B" }));
    expect(await host.outcome(NAME, one)).toBe("too-large");
    host.configure(rule({ id: "once", type: "files" }));
    expect(await host.outcome(NAME, one)).toBe("not-permitted");
    host.configure(rule({ id: "once", client: "releng", type: "db" }));
    expect(await host.outcome(NAME, one)).toBe("unknown-client");
  });

  test("is delivered while more than half of its life is left, then made anew", async () => {
    const rules = rule({ id: "short", type: "db", signature_expires: "2 h" });
    const host = await makeHost(cleanup, { rules });
    const { entry } = await signature(host, NAME, one);
    expect(entry).toMatchObject({ kind: "signed", expires: "2026-11-23T14:00:00.000Z" });
    later(host, HOUR - 1);
    expect(await host.outcome(NAME, one)).toBe("reissued 3");
    later(host, 1);
    const { entry: anew } = await signature(host, NAME, one);
    expect(anew).toMatchObject({ kind: "signed", expires: "2026-11-23T15:00:00.000Z" });
    host.entries(); // verifies, among others, that the signatures say the same
  });

  test("never delivers what is dated later than now", async () => {
    const host = await makeHost(cleanup, {
      rules: rule({ id: "all", type: "db" }),
      settings: 'reissue_window = "30 days"',
    });
    expect(await host.outcome(NAME, one)).toBe("signed 2");
    host.clock.now = new Date(START.getTime() - DAY);
    await host.host.ledger.acceptClock(host.clock.now);
    const receipt = await signature(host, NAME, one);
    expect(receipt.entry).toMatchObject({ kind: "signed", time: "2026-11-22T12:00:00.000Z" });
    later(host, 2 * DAY);
    expect((await signature(host, NAME, one)).signature).toEqual(receipt.signature);
  });
});
