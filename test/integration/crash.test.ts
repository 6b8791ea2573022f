import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { run } from "../support/run.ts";
import { collect, makeSigningHost, outcome, rule, serveOverSsh } from "../support/signing-host.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const ONCE = rule({ id: "once", type: "db", limits: ["1 per day"] });
const database = buildDatabase({ packages: 1, kind: "db" });

test("a signature lost on the way is delivered the second time, byte for byte, and takes no other place", async () => {
  const host = await makeSigningHost(cleanup, { rules: ONCE });
  const child = host.startAccept({ command: NAME });
  child.stdout.destroy();
  child.stdin.end(database);
  const lost = await collect(child);
  expect(outcome(lost)).toBe("reply-not-delivered 74");
  const again = await host.accept({ command: NAME, stdin: database });
  expect(outcome(again)).toBe("signed");
  const [first, second] = host.requests();
  expect(first).toMatchObject({ kind: "signed", signature: again.stdout.toString("base64") });
  expect(second).toMatchObject({ kind: "reissued", of: first?.seq });
  const other = buildDatabase({ packages: 2, kind: "db" });
  expect(outcome(await host.accept({ command: NAME, stdin: other }))).toBe("over-limit 75");
});

test("a client whose disk is full gets over ssh the same signature when it asks again", async () => {
  const host = await makeSigningHost(cleanup, { rules: ONCE });
  const ssh = await serveOverSsh(cleanup, host);
  const command = `ssh -F "$0" signer ${NAME} > /dev/full`;
  const lost = await run("/bin/sh", ["-c", command, ssh.clientConfig], { stdin: database });
  expect(lost.stdout).toHaveLength(0);
  const again = await ssh.sign(NAME, database);
  expect(outcome(again)).toBe("signed");
  expect(host.requests()).toMatchObject([
    { kind: "signed", signature: again.stdout.toString("base64") },
    { kind: "reissued" },
  ]);
});

test("killed at any moment, no request delivers what is not in the log, and the next one finds it whole", async () => {
  const rules = rule({ id: "many", type: "db", limits: ["1000 per day"] });
  const host = await makeSigningHost(cleanup, { rules });
  const delivered: string[] = [];
  const statuses = new Set<unknown>();
  for (let round = 0; round < 25; round++) {
    const child = host.startAccept({ command: NAME });
    const ended = collect(child);
    child.stdin.on("error", () => undefined);
    child.stdin.end(buildDatabase({ packages: 1, kind: "db", seed: round }));
    const timer = setTimeout(() => child.kill("SIGKILL"), 20 + 6 * round);
    const { status, stdout } = await ended;
    clearTimeout(timer);
    statuses.add(status);
    if (stdout.length > 0) delivered.push(stdout.toString("base64"));
  }
  const signatures = host.requests().map((entry) => ("signature" in entry ? entry.signature : undefined));
  expect(signatures).toEqual(expect.arrayContaining(delivered));
  expect(statuses, "some were killed").toContain(undefined);
  expect(outcome(await host.accept({ command: NAME, stdin: database }))).toBe("signed");
  expect(host.requests().at(-1)?.kind).toMatch(/^(?:signed|reissued)$/);
});
