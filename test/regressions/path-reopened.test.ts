import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startGpg } from "../support/gpg.ts";
import { runOk } from "../support/run.ts";
import { makeSigningHost, outcome } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

// CVE-2026-53783 (rrsync): a path was validated and then opened once more, when it led elsewhere.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("a name is never opened: what is signed is what came, wherever the process runs, and no copy of it is made", async () => {
  const host = await makeSigningHost(cleanup);
  const cwd = await tempDir(cleanup);
  const stdin = buildDatabase({ packages: 1, kind: "db", seed: 1 });
  writeFileSync(join(cwd, "core.db.tar.gz"), buildDatabase({ packages: 1, kind: "db", seed: 2 }));
  await runOk("mkfifo", [join(cwd, "extra.db.tar.gz")]); // to open it would be to wait for ever
  const gpg = await startGpg(cleanup);
  await gpg.importKey(await host.publicKey());
  for (const command of ["core.db.tar.gz", "extra.db.tar.gz"]) {
    const ended = await host.accept({ command, stdin, cwd, env: { TMPDIR: cwd } });
    expect(outcome(ended)).toBe("signed");
    expect(await gpg.verify(ended.stdout, stdin)).toMatchObject({ good: true });
  }
  expect(readdirSync(cwd).toSorted()).toEqual(["core.db.tar.gz", "extra.db.tar.gz"]);
});
