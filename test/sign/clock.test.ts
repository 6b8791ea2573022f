import { Readable } from "node:stream";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { makeImage } from "../support/image.ts";
import { rule } from "../support/signing-host.ts";
import { DAY, HOUR, MINUTE, makeHost, START } from "./fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const RULES =
  rule({ id: "monthly-iso", type: "iso", limits: ["1 per month"] }) +
  rule({ id: "repos-db", type: "db", limits: ["2 per hour"] });
const ISO = "example-2026.11.01-x86_64.iso";
const database = (seed: number) => buildDatabase({ packages: 1, kind: "db", seed });
let first: Buffer;
let second: Buffer;
beforeAll(async () => {
  first = await makeImage();
  second = await makeImage("no-pad", { createdAt: "2026-11-02T12:00:00Z" });
});

const at = (ms: number) => new Date(START.getTime() + ms);

describe("set back a month, a clock", () => {
  test("lets nothing be signed, nor a byte be read", async () => {
    const host = await makeHost(cleanup, { rules: RULES });
    expect(await host.outcome(ISO, first)).toBe("signed 2");
    host.clock.now = at(-30 * DAY);
    const source = Readable.from([second]);
    await expect(host.call(ISO, source)).rejects.toMatchObject({ code: "clock-behind" });
    expect(source.readableDidRead).toBe(false);
    expect(await host.outcome(ISO, first)).toBe("fault clock-behind");
    expect(await host.outcome("core.db.tar.gz", database(1))).toBe("fault clock-behind");
    expect(await host.outcome("core.tar", database(1)), "a refusal stays one").toBe("not-recognised");
    expect(host.entries()).toHaveLength(3);
  });

  test("frees no place when it is accepted", async () => {
    const host = await makeHost(cleanup, { rules: RULES });
    expect(await host.outcome(ISO, first)).toBe("signed 2");
    host.clock.now = at(-30 * DAY); // October
    await host.host.ledger.acceptClock(host.clock.now);
    expect(await host.outcome(ISO, second)).toBe("over-limit");
    expect(await host.outcome("core.db.tar.gz", database(1))).toBe("signed 5");
    expect(host.kinds()).toEqual(["started", "configured", "signed", "clock-accepted", "refused", "signed"]);
    host.clock.now = new Date("2026-11-01T00:00:00Z");
    expect(await host.outcome(ISO, second), "a month after the acceptance").toBe("signed 6");
  });
});

describe("set forward a year and back, a clock", () => {
  test("lets nothing be signed until it is accepted; then the month's place is still taken", async () => {
    const host = await makeHost(cleanup, { rules: RULES });
    host.clock.now = at(365 * DAY);
    expect(await host.outcome(ISO, first)).toBe("signed 2");
    expect(await host.outcome("core.db.tar.gz", database(1))).toBe("signed 3");
    host.clock.now = START;
    expect(await host.outcome(ISO, second)).toBe("fault clock-behind");
    await host.host.ledger.acceptClock(host.clock.now);
    expect(await host.outcome(ISO, second)).toBe("over-limit");
    expect(await host.outcome(ISO, first), "a signature of next year is not delivered").toBe("over-limit");
    expect(await host.outcome("core.db.tar.gz", database(2))).toBe("signed 7");
    expect(await host.outcome("core.db.tar.gz", database(3)), "the other hour's place counts as now").toBe(
      "over-limit",
    );
    host.clock.now = at(HOUR + 1);
    expect(await host.outcome("core.db.tar.gz", database(3))).toBe("signed 9");
    host.clock.now = new Date("2026-12-01T00:00:00Z");
    expect(await host.outcome(ISO, second)).toBe("signed 10");
  });
});

test("what was delivered again while the clock was ahead counts as of its acceptance, and no longer", async () => {
  const host = await makeHost(cleanup, { rules: RULES });
  expect(await host.outcome(ISO, first)).toBe("signed 2");
  host.clock.now = at(20 * HOUR);
  for (let count = 0; count < 10; count++) expect(await host.outcome(ISO, first)).toMatch(/^reissued/);
  host.clock.now = START;
  await host.host.ledger.acceptClock(host.clock.now);
  host.clock.now = at(HOUR);
  expect(await host.outcome(ISO, first)).toBe("over-limit");
  host.clock.now = at(HOUR + 1);
  expect(await host.outcome(ISO, first)).toMatch(/^reissued/);
});

describe("a clock that is behind by less than five minutes", () => {
  test("signs with the time of the last entry", async () => {
    const host = await makeHost(cleanup, { rules: RULES });
    expect(await host.outcome("core.db.tar.gz", database(1))).toBe("signed 2");
    host.clock.now = at(-5 * MINUTE + 1);
    expect(await host.outcome("core.db.tar.gz", database(2))).toBe("signed 3");
    expect(host.entries().map(({ time }) => time)).toEqual(Array(4).fill(START.toISOString()));
    host.clock.now = at(-5 * MINUTE);
    expect(await host.outcome("core.db.tar.gz", database(3))).toBe("fault clock-behind");
  });

  test("across the end of a month counts as in the new one, before reading as after", async () => {
    const host = await makeHost(cleanup, { rules: RULES });
    host.clock.now = new Date("2026-11-25T10:00:00Z"); // not to be reissued any more
    expect(await host.outcome(ISO, first)).toBe("signed 2");
    host.clock.now = new Date("2026-12-01T00:01:00Z");
    expect(await host.outcome("core.db.tar.gz", database(1))).toBe("signed 3");
    host.clock.now = new Date("2026-11-30T23:58:00Z");
    expect(await host.outcome(ISO, second)).toBe("signed 4");
  });
});
