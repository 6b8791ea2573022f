import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { finish, makeSigningHost, outcome, rule } from "../support/signing-host.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const REQUESTS = 80;
const AT_ONCE = 20;
const LIMIT = 10;

test("of eighty requests at once on a limit of ten exactly ten are signed, and the log has exactly those", async () => {
  const rules = rule({ id: "ten", type: "db", limits: [`${LIMIT} per day`] });
  const host = await makeSigningHost(cleanup, { rules });
  const ended = [];
  for (let wave = 0; wave < REQUESTS / AT_ONCE; wave++) {
    const children = Array.from({ length: AT_ONCE }, (_, index) => {
      const bytes = buildDatabase({ packages: 1, kind: "db", seed: wave * AT_ONCE + index });
      const child = host.startAccept({ command: "core.db.tar.gz" });
      child.stdin.write(bytes.subarray(0, -1));
      return { child, last: bytes.subarray(-1) };
    });
    // All of them have all but a byte; now they want the one lock at the same time.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    ended.push(...(await Promise.all(children.map(({ child, last }) => finish(child, last)))));
  }
  const outcomes = ended.map(outcome);
  expect(outcomes.filter((each) => each === "signed")).toHaveLength(LIMIT);
  expect(outcomes.filter((each) => each === "over-limit 75")).toHaveLength(REQUESTS - LIMIT);

  const signed = host.requests().filter((entry) => entry.kind === "signed");
  const delivered = ended.filter(({ status }) => status === 0).map(({ stdout }) => stdout.toString("base64"));
  expect(signed.map(({ signature }) => signature).toSorted()).toEqual(delivered.toSorted());
  expect(new Set(delivered).size).toBe(LIMIT);
});

test("the same file eight times at once is signed once and delivered eight times", async () => {
  const rules = rule({ id: "one", type: "db", limits: ["1 per day"] });
  const host = await makeSigningHost(cleanup, { rules });
  const stdin = buildDatabase({ packages: 1, kind: "db" });
  const all = await Promise.all(
    Array.from({ length: 8 }, () => host.accept({ command: "core.db.tar.gz", stdin })),
  );
  expect(all.map(outcome)).toEqual(Array(8).fill("signed"));
  expect(new Set(all.map(({ stdout }) => stdout.toString("hex"))).size).toBe(1);
  expect(host.requests().map(({ kind }) => kind)).toEqual(["signed", ...Array(7).fill("reissued")]);
});
