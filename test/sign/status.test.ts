import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { DAY, MINUTE, makeHost, START } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const RULES = [
  rule({
    id: "core",
    type: "db",
    names: ["core.db.tar.gz", "*-testing.db.tar.gz"],
    max_size: "1 MiB",
    limits: ["2 per day", "1 per hour"],
    limits_per_name: ["30 per hour"],
  }),
  rule({ id: "any", type: "iso", limits_per_name: ["1 per day"] }),
  rule({ id: "others", type: "files", client: "others" }),
].join("");

async function statusOf(host: Awaited<ReturnType<typeof makeHost>>, command: string): Promise<string> {
  const answer = await host.call(command, Buffer.alloc(0));
  if (answer.kind !== "text") throw new Error(`expected text, not ${answer.kind}`);
  return answer.text;
}

test("status --json says what the client may have signed, what is left, and until when keys live", async () => {
  const host = await makeHost(cleanup, { rules: RULES, keyExpires: new Date(START.getTime() + 30 * DAY) });
  await host.outcome("core.db.tar.gz", buildDatabase({ packages: 1, kind: "db" }));
  host.clock.now = new Date(START.getTime() + MINUTE);
  const text = await statusOf(host, "status --json");
  expect(text).toMatch(/^[^\n]+\n$/);
  expect(JSON.parse(text)).toEqual({
    client: "repos",
    time: "2026-11-23T12:01:00.000Z",
    rules: [
      {
        id: "core",
        type: "db",
        names: ["core.db.tar.gz", "*-testing.db.tar.gz"],
        max_size: 1024 * 1024,
        limits: [
          { limit: "2 per day", left: 1 },
          { limit: "1 per hour", left: 0, next: "2026-11-23T13:00:00.001Z" },
        ],
        limits_per_name: ["30 per hour"],
        per_name: [{ name: "core.db.tar.gz", limits: [{ limit: "30 per hour", left: 29 }] }],
        key: "repo",
      },
      {
        id: "any",
        type: "iso",
        max_size: expect.any(Number),
        limits: [],
        limits_per_name: ["1 per day"],
        per_name: [{ limits: [{ limit: "1 per day", left: 1 }] }],
        key: "repo",
      },
    ],
    keys: [
      {
        name: "repo",
        algorithm: "ed25519",
        fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
        primary_fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
        expires: "2026-12-23T12:00:00.000Z",
      },
    ],
  });
});

test("status --json says why a key cannot sign", async () => {
  const host = await makeHost(cleanup, { rules: RULES, keyExpires: new Date(START.getTime() + DAY) });
  host.clock.now = new Date(START.getTime() + 2 * DAY);
  expect(JSON.parse(await statusOf(host, "status --json"))).toMatchObject({ keys: [{ problem: "expired" }] });
  expect(await statusOf(host, "status")).toContain("cannot sign: ");
});

test("status says the same to people", async () => {
  const host = await makeHost(cleanup, { rules: RULES });
  await host.outcome("core.db.tar.gz", buildDatabase({ packages: 1, kind: "db" }));
  const text = await statusOf(host, "status");
  expect(text).toContain("client repos, 2026-11-23T12:00:00.000Z\n\ncore: db, at most 1 MiB\n");
  expect(text).toContain(
    "  limits    1 left of 2 per day, 1 per hour used up until 2026-11-23T13:00:00.001Z\n",
  );
  expect(text).toContain("            core.db.tar.gz: 29 left of 30 per hour\n");
  expect(text).toContain("            without a name: 1 left of 1 per day\n");
});
