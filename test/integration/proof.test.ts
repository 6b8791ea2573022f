import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { askSecond } from "../log/proof/second-implementation.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startLogHost } from "../support/log-host-over-ssh.ts";
import { run, runOk } from "../support/run.ts";
import { makeSigningHost, outcome, SIGNER_LOG } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";

test("what two log hosts cosigned is proven by all three logs, to whoever has only the public keys and the files", async () => {
  const host = await makeSigningHost(cleanup);
  const logHosts = [
    await startLogHost(cleanup, host, { name: "one" }),
    await startLogHost(cleanup, host, { name: "two" }),
  ];
  const artefact = buildDatabase({ packages: 2, kind: "db" });
  const signed = await host.accept({ command: NAME, stdin: artefact });
  expect(outcome(signed)).toBe("signed");

  const folder = await tempDir(cleanup);
  await writeFile(join(folder, NAME), artefact);
  await writeFile(join(folder, `${NAME}.sig`), signed.stdout);
  await writeFile(join(folder, "repo.asc"), await host.publicKey());
  await writeFile(join(folder, "log.pub"), await runOk(SIGNER_LOG, ["--config", host.configFile, "key"]));
  const signature = join(folder, `${NAME}.sig`);
  const proofs = [
    (await runOk(SIGNER_LOG, ["--config", host.configFile, "prove", signature])).toString(),
    ...(await Promise.all(
      logHosts.map(async (at) => (await at.signerLog("prove", signature)).stdout.toString()),
    )),
  ];
  const witnesses = await Promise.all(
    logHosts.map((at) => readFile(join(at.directory, "witness.pub"), "utf8")),
  );
  // The logs are gone; only files are left.
  await rm(host.stateDirectory, { recursive: true });
  for (const { directory } of logHosts) await rm(directory, { recursive: true });

  const key = (await readFile(join(folder, "log.pub"), "utf8")).trim();
  const files = ["--artefact", NAME, "--signature", `${NAME}.sig`, "--openpgp", "repo.asc"];
  // The host has both cosignatures, each copy its own.
  for (const [i, by] of [[0, 1], [0], [1]].entries()) {
    await writeFile(join(folder, "proof"), proofs[i] ?? "");
    const cosigners = by.map((one) => witnesses[one]?.trim() ?? "");
    const args = [
      "verify",
      "proof",
      "--key",
      "@log.pub",
      ...cosigners.flatMap((one) => ["--witness", one]),
      ...files,
    ];
    const { status, stdout, stderr } = await run(SIGNER_LOG, args, { cwd: folder });
    expect([status, stderr, stdout.toString().match(/^cosigned /gm)?.length]).toEqual([0, "", by.length]);
    expect(stdout.toString()).not.toContain("NOT verified");
    const proof = Buffer.from(proofs[i] ?? "").toString("hex");
    expect(await askSecond([{ do: "proof", proof, key, witnesses: cosigners }])).toMatchObject([
      { ok: true, index: 2 },
    ]);
  }
});
