import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { makeHost } from "../sign/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";

// pacman reads on where others stop: a second gzip member that goes on with the archive, bytes behind the end, two ends.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("a database that two readers would take for two different ones is refused", async () => {
  const host = await makeHost(cleanup);
  const one = gunzipSync(buildDatabase({ packages: 1, kind: "db", seed: 1 }));
  const two = gunzipSync(buildDatabase({ packages: 1, kind: "db", seed: 2 }));
  const withoutEnd = one.subarray(
    0,
    one.findLastIndex((byte) => byte !== 0) + 512 - (one.findLastIndex((byte) => byte !== 0) % 512),
  );
  expect(withoutEnd.length % 512).toBe(0);
  const offered: readonly [string, Buffer, string][] = [
    ["a member that goes on", Buffer.concat([gzipSync(withoutEnd), gzipSync(two)]), "trailing-data"],
    ["a member with another archive", Buffer.concat([gzipSync(one), gzipSync(two)]), "trailing-data"],
    ["another archive behind the end", gzipSync(Buffer.concat([one, two])), "trailing-data"],
    ["zeros behind the member", Buffer.concat([gzipSync(one), Buffer.alloc(10)]), "trailing-data"],
    ["no end", gzipSync(withoutEnd), "truncated"],
  ];
  for (const [what, bytes, code] of offered)
    expect(await host.outcome("core.db.tar.gz", bytes), what).toBe(code);
});
