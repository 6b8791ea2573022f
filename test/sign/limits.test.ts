import { afterEach, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { HOUR, MINUTE, makeHost, START } from "./fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
let seed = 0;
/** A database that was never sent before. */
const fresh = (kind: "db" | "files" = "db") => {
  seed += 1;
  return buildDatabase({ packages: 1, kind, seed });
};
const at = (ms: number) => new Date(START.getTime() + ms);

describe("a limit", () => {
  test("counts the signatures of its rule, of every name and of none, and no refusals", async () => {
    const host = await makeHost(cleanup, {
      rules: rule({ id: "three", type: "db", limits: ["3 per hour"] }),
    });
    expect(await host.outcome(NAME, fresh())).toMatch(/^signed/);
    expect(await host.outcome(NAME, Buffer.from("x"))).toBe("not-recognised");
    expect(await host.outcome("extra.db.tar.gz", fresh())).toMatch(/^signed/);
    expect(await host.outcome(undefined, fresh())).toMatch(/^signed/);
    for (const name of [NAME, "other.db.tar.gz", undefined])
      expect(await host.outcome(name, fresh())).toBe("over-limit");
  });

  test("slides: a place is free again one window later, as the refusal said", async () => {
    const host = await makeHost(cleanup, { rules: rule({ id: "two", type: "db", limits: ["2 per hour"] }) });
    await host.outcome(NAME, fresh());
    host.clock.now = at(10 * MINUTE);
    await host.outcome(NAME, fresh());
    host.clock.now = at(20 * MINUTE);
    const refused = await host.call(NAME, fresh());
    const when = /possible at (\S+Z)$/.exec("reason" in refused ? refused.reason : "")?.[1] ?? "";
    expect(when).toBe(at(HOUR + 1).toISOString());
    host.clock.now = at(HOUR);
    expect(await host.outcome(NAME, fresh())).toBe("over-limit");
    host.clock.now = new Date(when);
    expect(await host.outcome(NAME, fresh())).toMatch(/^signed/);
    expect(await host.outcome(NAME, fresh())).toBe("over-limit");
  });

  test("of a name is that name's alone, and those without a name share one", async () => {
    const rules = rule({ id: "named", type: "db", limits_per_name: ["1 per hour"] });
    const host = await makeHost(cleanup, { rules });
    for (const name of [NAME, "extra.db.tar.gz", undefined])
      expect(await host.outcome(name, fresh())).toMatch(/^signed/);
    for (const name of [NAME, "extra.db.tar.gz", undefined])
      expect(await host.outcome(name, fresh())).toBe("over-limit");
  });

  test("is counted by the rule's id: two clients of two rules do not share it", async () => {
    const rules =
      rule({ id: "a", type: "db", limits: ["1 per hour"] }) +
      rule({ id: "b", client: "mirror", type: "db", limits: ["1 per hour"] });
    const host = await makeHost(cleanup, { rules });
    expect(await host.outcome(NAME, fresh())).toMatch(/^signed/);
    expect(await host.outcome(NAME, fresh(), "mirror")).toMatch(/^signed/);
    expect(await host.outcome(NAME, fresh())).toBe("over-limit");
  });

  test("of the first rule that fits decides, with no falling through to the next", async () => {
    const rules =
      rule({ id: "core", type: "db", names: ["core.*"], limits: ["1 per hour"] }) +
      rule({ id: "any", type: "db" });
    const host = await makeHost(cleanup, { rules });
    expect(await host.outcome(NAME, fresh())).toMatch(/^signed/);
    expect(await host.outcome(NAME, fresh())).toBe("over-limit");
    expect(await host.outcome("extra.db.tar.gz", fresh())).toMatch(/^signed/);
  });

  test("that is used up for db leaves files alone, named or not", async () => {
    const rules =
      rule({ id: "db", type: "db", limits: ["1 per hour"] }) + rule({ id: "files", type: "files" });
    const host = await makeHost(cleanup, { rules });
    expect(await host.outcome(undefined, fresh())).toMatch(/^signed/);
    expect(await host.outcome(undefined, fresh())).toBe("over-limit");
    expect(await host.outcome(undefined, fresh("files"))).toMatch(/^signed/);
    expect(await host.outcome("core.files.tar.gz", fresh("files"))).toMatch(/^signed/);
  });

  test("that is used up for db is no reason not to read what may be files, long after too", async () => {
    const rules =
      rule({ id: "db", type: "db", limits: ["1 per 90 days"] }) + rule({ id: "files", type: "files" });
    const host = await makeHost(cleanup, { rules });
    await host.outcome(undefined, fresh());
    host.clock.now = at(48 * HOUR);
    expect(await host.outcome(undefined, fresh("files"))).toMatch(/^signed/);
    expect(await host.outcome(undefined, fresh())).toBe("over-limit");
  });

  test("holds inside the transaction, too, where the early look could not know", async () => {
    const host = await makeHost(cleanup, { rules: rule({ id: "one", type: "db", limits: ["1 per hour"] }) });
    await host.outcome(NAME, fresh());
    expect(await host.outcome(NAME, fresh()), "within the reissue window the bytes decide").toBe(
      "over-limit",
    );
    expect(host.entries().at(-1)).toHaveProperty("sha512");
  });
});

describe("without a name", () => {
  const rules =
    rule({ id: "db", type: "db", max_size: "1 KiB", max_expanded_size: "20 KiB" }) +
    rule({ id: "files", type: "files" });

  test("each type has the sizes of its own rule", async () => {
    const host = await makeHost(cleanup, { rules });
    const large = (kind: "db" | "files") => buildDatabase({ packages: 30, kind });
    expect(await host.outcome(undefined, large("files"))).toMatch(/^signed/);
    expect(await host.outcome(undefined, large("db"))).toBe("too-large");
    const expanding = buildDatabase({ packages: 1, kind: "files", filesPerPackage: 2000 });
    expect(await host.outcome(undefined, expanding)).toMatch(/^signed/);
    expect(host.kinds()).toEqual(["started", "configured", "signed", "refused", "signed"]);
  });
});

describe("rules in force", () => {
  const limited = (limit: string) => rule({ id: "db", type: "db", limits: [limit] });

  test("stand in the log before the first signature, and again when they have changed", async () => {
    const host = await makeHost(cleanup, { rules: limited("1 per hour") });
    await host.outcome(NAME, fresh());
    host.configure(limited("2 per hour"));
    await host.outcome(NAME, fresh());
    await host.outcome("extra.db.tar.gz", fresh());
    host.configure(limited("1 per hour"));
    await host.outcome(NAME, fresh());
    expect(host.kinds()).toEqual([
      "started",
      "configured",
      "signed",
      "configured",
      "signed",
      "refused",
      "configured",
      "refused",
    ]);
    const summaries = host.entries().flatMap((entry) => (entry.kind === "configured" ? entry.summary : []));
    expect(summaries).toEqual([
      expect.stringContaining("limits 1 per hour"),
      expect.stringContaining("limits 2 per hour"),
      expect.stringContaining("limits 1 per hour"),
    ]);
  });

  test("count what was signed under another limit of the same id, and nothing of another id", async () => {
    const host = await makeHost(cleanup, { rules: limited("5 per hour") });
    await host.outcome(NAME, fresh());
    host.configure(limited("1 per hour"));
    expect(await host.outcome(NAME, fresh())).toBe("over-limit");
    host.configure(rule({ id: "db-2", type: "db", limits: ["1 per hour"] }));
    expect(await host.outcome(NAME, fresh())).toMatch(/^signed/);
  });
});
