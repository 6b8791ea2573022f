import { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { accept } from "../../src/accept.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { type Address, parseAddress } from "../../src/request/peer.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { HOUR, MINUTE, makeHost, START } from "./fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const good = buildDatabase({ packages: 1, kind: "db" });
const bad = Buffer.from("no database");
const at = (ms: number) => new Date(START.getTime() + ms);

describe("a flood of refusals", () => {
  test("leaves no more lines in the journal than entries in the log", async () => {
    const { host, entries } = await makeHost(cleanup);
    const lines: string[] = [];
    const journal = {
      ...host.journal,
      warn: (_fields: unknown, message: string) => void lines.push(message),
    };
    const peer = { address: parseAddress("192.0.2.10") as Address, sshKey: undefined };
    for (let count = 0; count < 15; count++)
      await accept({ ...host, journal }, { client: "repos", command: "no command", peer }, Readable.from([]));
    expect(lines).toHaveLength(10);
    expect(entries().filter(({ kind }) => kind === "refused")).toHaveLength(10);
  });

  test("leaves ten entries, and after the hour one summary of the others", async () => {
    const host = await makeHost(cleanup);
    for (let count = 0; count < 50; count++) {
      host.clock.now = at(count * MINUTE);
      expect(await host.outcome(NAME, bad)).toBe("not-recognised");
    }
    expect(host.kinds()).toEqual(["started", ...Array(10).fill("refused")]);

    host.clock.now = at(HOUR - 1);
    expect(await host.outcome(NAME, good)).toBe("signed 12");
    host.clock.now = at(HOUR);
    expect(await host.outcome("core.db.tar.gz", buildDatabase({ packages: 2, kind: "db" }))).toBe(
      "signed 14",
    );
    expect(host.entries().slice(11)).toMatchObject([
      { kind: "configured" },
      { kind: "signed" },
      {
        kind: "refused-summary",
        client: "repos",
        code: "not-recognised",
        count: 40,
        from: at(10 * MINUTE).toISOString(),
        to: at(49 * MINUTE).toISOString(),
      },
      { kind: "signed" },
    ]);
    expect(await host.outcome(NAME, bad)).toBe("not-recognised");
    expect(host.entries().at(-1), "a new hour has ten entries of its own").toMatchObject({ kind: "refused" });
  });

  test("of one client and code hides nothing of another's", async () => {
    const rules = rule({ id: "a", type: "db" }) + rule({ id: "b", client: "mirror", type: "db" });
    const host = await makeHost(cleanup, { rules });
    for (let count = 0; count < 12; count++) await host.outcome(NAME, bad);
    await host.outcome(NAME, bad, "mirror");
    await host.outcome("nothing", bad);
    await host.outcome("x y", bad);
    const refused = host.entries().slice(1);
    expect(refused).toHaveLength(10 + 2); // "nothing" has the code of the flood
    expect(refused.slice(-2)).toMatchObject([
      { client: "mirror", code: "not-recognised" },
      { client: "repos", code: "bad-request" },
    ]);
  });

  test("by clients that no rule names shares ten entries, whatever they are called", async () => {
    const host = await makeHost(cleanup);
    for (let count = 0; count < 30; count++) await host.outcome(NAME, good, `stranger-${count}`);
    expect(host.kinds()).toEqual(["started", ...Array(10).fill("refused")]);
  });
});

describe("the entry of a refusal", () => {
  test.each<[string, string | undefined, Buffer, object, readonly string[]]>([
    [
      "says nothing of a command outside the grammar",
      "a\nb",
      good,
      { code: "bad-request" },
      ["name", "size", "sha256"],
    ],
    [
      "has the name, where nothing was read",
      "x.tar",
      good,
      { code: "not-recognised", name: "x.tar" },
      ["size", "sha256"],
    ],
    [
      "has no digest of what was read in part",
      NAME,
      Buffer.alloc(100_000, 1),
      { code: "not-recognised", name: NAME },
      ["size", "sha256"],
    ],
    [
      "has the digest of what was read whole",
      NAME,
      good.subarray(0, -1),
      {
        code: "truncated",
        name: NAME,
        size: good.length - 1,
        sha256: expect.any(String),
        sha512: expect.any(String),
      },
      ["rule"],
    ],
  ])("%s", async (_, command, bytes, expected, absent) => {
    const host = await makeHost(cleanup);
    await host.outcome(command, bytes);
    const entry = host.entries().at(-1);
    expect(entry).toMatchObject({ kind: "refused", client: "repos", ...expected });
    for (const field of absent) expect(entry).not.toHaveProperty(field);
  });

  test("over a limit has rule, type and digest", async () => {
    const host = await makeHost(cleanup, { rules: rule({ id: "one", type: "db", limits: ["1 per hour"] }) });
    await host.outcome(undefined, good);
    await host.outcome(undefined, buildDatabase({ packages: 2, kind: "db" }));
    expect(host.entries().at(-1)).toMatchObject({
      kind: "refused",
      code: "over-limit",
      rule: "one",
      type: "db",
      sha256: expect.any(String),
    });
  });

  test("holds who asked and from where beside it alone", async () => {
    const host = await makeHost(cleanup);
    await host.outcome(`--for alice ${NAME}`, bad);
    const reader = LogReader.open(host.stateDirectory);
    cleanup.add(() => reader.close());
    expect(reader.privateRecord(1)).toEqual({ for: "alice", address: "192.0.2.10" });
    expect(reader.line(1)).not.toMatch(/alice|192\.0\.2\.10/);
  });

  test("is there for a caller from nowhere, too, and nothing was read", async () => {
    const host = await makeHost(cleanup);
    const source = Readable.from([good]);
    const call = { client: "repos", command: NAME, peer: undefined };
    expect(await accept(host.host, call, source)).toMatchObject({ kind: "refusal", code: "foreign-address" });
    expect(source.readableDidRead).toBe(false);
    expect(host.entries().at(-1)).toMatchObject({ kind: "refused", code: "foreign-address" });
  });
});

describe("not a byte is read", () => {
  const once = rule({ id: "once", type: "db", limits: ["1 per 90 days"] });
  test.each<[string, string, string, string]>([
    ["of a client without rules", "stranger", NAME, "unknown-client"],
    ["under a name that no rule allows", "repos", "core.files.tar.gz", "not-permitted"],
    ["of a compression that is not read", "repos", "core.db.tar.xz", "unsupported-compression"],
    ["under a name that promises nothing", "repos", "core.tar", "not-recognised"],
  ])("%s", async (_, client, command, code) => {
    const host = await makeHost(cleanup, { rules: once });
    const source = Readable.from([good]);
    expect(await host.call(command, source, client)).toMatchObject({ code });
    expect(source.readableDidRead).toBe(false);
  });

  test("where the limit is used up and nothing can be delivered again", async () => {
    const host = await makeHost(cleanup, { rules: once });
    expect(await host.outcome(NAME, good)).toBe("signed 2");
    host.clock.now = at(24 * HOUR + 1);
    const source = Readable.from([good]);
    expect(await host.call(NAME, source)).toMatchObject({ code: "over-limit" });
    expect(source.readableDidRead).toBe(false);
    host.clock.now = at(24 * HOUR + 2);
    const other = Readable.from([good]);
    expect(await host.call("extra.db.tar.gz", other)).toMatchObject({ code: "over-limit" });
    expect(other.readableDidRead).toBe(false);
  });

  test("where the key has expired", async () => {
    const host = await makeHost(cleanup, { rules: once, keyExpires: at(HOUR) });
    host.clock.now = at(HOUR);
    const source = Readable.from([good]);
    await expect(host.call(NAME, source)).rejects.toMatchObject({ code: "key-unusable" });
    expect(source.readableDidRead).toBe(false);
  });
});
