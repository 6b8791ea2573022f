import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { collect, makeSigningHost, outcome } from "../support/signing-host.ts";

// OBS signd: eleven connections that sent nothing stopped the service for everybody.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("twelve clients that have begun and send no more keep nobody from a signature", async () => {
  const host = await makeSigningHost(cleanup);
  const stdin = buildDatabase({ packages: 1, kind: "db" });
  const idle = Array.from({ length: 12 }, () => {
    const child = host.startAccept({ command: "core.db.tar.gz" });
    child.stdin.write(stdin.subarray(0, 200));
    return { child, ended: collect(child) };
  });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(outcome(await host.accept({ command: "core.db.tar.gz", stdin }))).toBe("signed");
  expect(
    idle.map(({ child }) => child.exitCode),
    "they are all there still",
  ).toEqual(Array(12).fill(null));
  for (const { child } of idle) child.stdin.end();
  const ends = await Promise.all(idle.map(({ ended }) => ended));
  expect(ends.map(outcome)).toEqual(Array(12).fill("truncated 65"));
});
