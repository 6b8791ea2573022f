import { describe, expect, test } from "vitest";
import { configuredFields } from "../../src/log/configured.ts";
import { encodeLogEntry, type LogEntry } from "../../src/log/log-entry.ts";
import { NONE, statisticsOf } from "../../src/log/log-statistics.ts";
import { entriesOf, freshLedger, linesOf, refused, sign } from "./fixture.ts";

const DAY_ONE = new Date("2026-11-23T23:59:59.999Z");
const DAY_TWO = new Date("2026-11-24T00:00:00.000Z");

const line = (seq: number, fields: object) =>
  encodeLogEntry({ seq, time: DAY_TWO.toISOString(), ...fields } as LogEntry);
const tally = (signed: number, reissued = 0, refusedCount = 0) => ({
  signed,
  reissued,
  refused: refusedCount,
});

describe("statistics", () => {
  test("count signatures, deliveries and refusals by day, type, client and name", async () => {
    const { ledger, directory } = freshLedger(new Date("2026-11-23T12:00:00Z"));
    await ledger.transact(DAY_ONE, (tx) => tx.append(configuredFields(["a rule"])));
    await sign(ledger, DAY_ONE, { name: "core.db.tar.gz" });
    await sign(ledger, DAY_ONE, { name: "extra.db.tar.gz" });
    await sign(ledger, DAY_TWO, { name: "core.db.tar.gz" });
    await sign(ledger, DAY_TWO, { name: null, type: "iso", client: "releng" });
    const [, , original] = entriesOf(directory);
    if (original?.kind !== "signed") throw new Error("the third entry is a signature");
    const { seq, time, facts, kind, expires, ...same } = original;
    await ledger.transact(DAY_TWO, (tx) => tx.append({ ...same, kind: "reissued", of: 2 }));
    await ledger.recordRefusal(DAY_TWO, refused({ name: "core.db.tar.gz", type: "db" }));
    await ledger.recordRefusal(DAY_TWO, refused({ code: "over-limit" }));
    const found = statisticsOf(linesOf(directory));
    expect(found).toMatchObject({ entries: 9, unreadable: 0, total: tally(4, 1, 2) });
    expect(found.days.groups).toEqual([
      { key: "2026-11-23", ...tally(2) },
      { key: "2026-11-24", ...tally(2, 1, 2) },
    ]);
    expect(found.types.groups).toEqual([
      { key: "db", ...tally(3, 1, 1) },
      { key: "iso", ...tally(1) },
      { key: NONE, ...tally(0, 0, 1) },
    ]);
    expect(found.clients.groups).toEqual([
      { key: "repos", ...tally(3, 1, 2) },
      { key: "releng", ...tally(1) },
    ]);
    expect(found.names.groups[0]).toEqual({ key: "core.db.tar.gz", ...tally(2, 1, 1) });
    expect(found.refusals).toEqual([
      { code: "not-recognised", count: 1 },
      { code: "over-limit", count: 1 },
    ]);
  });

  test("count refusals that were summed up, each of them, on the day of the last", () => {
    const summary = {
      kind: "refused-summary",
      code: "over-limit",
      count: 500,
      from: "2026-11-23T22:30:00.000Z",
      to: "2026-11-23T23:20:00.000Z",
    };
    const found = statisticsOf([
      line(1, { ...summary, client: "repos" }),
      line(2, { ...summary, count: 7 }),
      line(3, refused()),
    ]);
    expect(found.total).toEqual(tally(0, 0, 508));
    expect(found.days.groups).toEqual([
      { key: "2026-11-23", ...tally(0, 0, 507) },
      { key: "2026-11-24", ...tally(0, 0, 1) },
    ]);
    expect(found.clients.groups).toEqual([
      { key: "repos", ...tally(0, 0, 501) },
      { key: NONE, ...tally(0, 0, 7) },
    ]);
    expect(found.refusals[0]).toEqual({ code: "over-limit", count: 507 });
  });

  test("count lines that are no entries apart", () => {
    expect(statisticsOf(["", "{}", line(0, refused()), "\u001b[2J"])).toMatchObject({
      entries: 1,
      unreadable: 3,
      total: tally(0, 0, 1),
    });
  });

  test("of nothing are nothing", () => {
    expect(statisticsOf([])).toMatchObject({ entries: 0, total: tally(0), refusals: [] });
  });

  test("keep the busy names and count the rest together, however many names somebody thinks of", () => {
    function* many() {
      for (let i = 0; i < 40_000; i++) {
        yield line(2 * i, refused({ name: `n${i}.db` }));
        if (i % 4 === 0) yield line(2 * i + 1, refused({ name: "busy.db" }));
      }
    }
    const { names, total } = statisticsOf(many());
    expect(total.refused).toBe(50_000);
    expect(names.groups.length).toBeLessThanOrEqual(10_000);
    expect(names.groups[0]).toEqual({ key: "busy.db", ...tally(0, 0, 10_000) });
    const kept = names.groups.reduce((sum, group) => sum + group.refused, 0);
    expect(kept + names.others.refused).toBe(50_000);
  });
});
