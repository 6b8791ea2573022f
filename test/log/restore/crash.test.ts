import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { Ledger } from "../../../src/log/ledger.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { run } from "../../support/run.ts";
import { configText } from "../../support/signing-host.ts";
import { faultCode, freshDirectory, linesOf, verdict } from "../fixture.ts";
import { copyOf, filledState, signMore, WITNESS } from "./fixture.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "..", "dist", "signer-log.cjs");

/** A log of seven entries; the copy that replaces it has nine, and a tenth says so. */
let old = "";
let copy = "";
beforeEach(async () => {
  const directory = await filledState();
  old = join(freshDirectory(), "old");
  cpSync(directory, old, { recursive: true });
  await signMore(directory, 2);
  copy = copyOf(directory);
});

/** A host with the old log. */
function host(folder = freshDirectory()) {
  const stateDirectory = join(folder, "state");
  const configFile = join(folder, "signer.toml");
  cpSync(old, stateDirectory, { recursive: true });
  writeFileSync(configFile, configText({ stateDirectory, keyFile: join(folder, "repo.key") }));
  return { stateDirectory, configFile };
}

/** Runs the built program's restore, under strace where there is something to inject. */
function restoreUnder(configFile: string, inject?: string) {
  const args = [PROGRAM, "--config", configFile, "restore", "--copy", copy];
  const whole = [process.execPath, ...args, "--witness", encodeVerifierKey(WITNESS.key)];
  const strace = inject === undefined ? [] : ["strace", "-f", "-qq", "-e", `inject=${inject}`];
  const [command = "", ...rest] = [...strace, ...whole];
  return run(command, rest);
}

/** What a request finds: the old log, the new one, or nothing that it may use. */
async function found(directory: string): Promise<"old" | "new" | "refused"> {
  const code = await faultCode(() => Ledger.open(directory).close());
  if (code !== "no fault") {
    expect(code).toBe("log-broken");
    return "refused";
  }
  expect(verdict(directory)).toBe("sound");
  const { length } = linesOf(directory);
  expect([7, 10]).toContain(length);
  return length === 7 ? "old" : "new";
}

test.each([
  ["rename", [1, 2, 3, 4, 5, 6, 7]],
  ["fsync", [1, 5, 9, 14, 19]],
  ["pwrite64", [1, 20, 60]],
  ["unlink", [1, 2, 3]],
])(
  "a restore that is killed at a %s leaves the old log, the new one, or a refusal, and the next one completes it",
  async (call, moments) => {
    const seen = new Set<string>();
    for (const when of moments) {
      const { stateDirectory, configFile } = host();
      const killed = await restoreUnder(configFile, `${call}:signal=SIGKILL:when=${when}`);
      if (killed.status === 0) break;
      seen.add(await found(stateDirectory));
      const again = await restoreUnder(configFile);
      expect([0, 64], again.stderr).toContain(again.status);
      expect(await found(stateDirectory), `${call} ${when}`).toBe("new");
      expect(readdirSync(stateDirectory)).not.toContain("restoring");
    }
    expect(seen.size).toBeGreaterThan(0);
    if (call === "rename") expect(seen).toContain("refused");
  },
);

test("a disk too full for a second log leaves the first", async (context) => {
  const disk = freshDirectory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=224k", "tmpfs", disk], { stdio: "ignore" });
  } catch {
    return context.skip("mounting is not allowed here");
  }
  onTestFinished(() => void execFileSync("umount", ["-l", disk]));
  const { stateDirectory, configFile } = host(disk);
  const { status, stderr } = await restoreUnder(configFile);
  expect(status, stderr).toBe(74);
  expect(await found(stateDirectory)).toBe("old");
  execFileSync("mount", ["-o", "remount,size=2048k", disk]);
  expect(await restoreUnder(configFile)).toMatchObject({ status: 0 });
  expect(await found(stateDirectory)).toBe("new");
});
