import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { UNITS } from "../support/booted-systemd.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { run, runOk } from "../support/run.ts";
import { outcome, SIGNER } from "../support/signing-host.ts";
import { waitFor } from "../support/signing-service.ts";
import { makeSplitHost, startService } from "../support/supervised-service.ts";
import { tempDir } from "../support/temp-dir.ts";
import { allowedSystemCalls, settingsOf } from "../support/unit-file.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const SERVICES = ["signer.service", "signer-sender.service", "signer-pull.service"];
const read = (unit: string) => readFileSync(join(UNITS, unit), "utf8");

/** What docs/SPLIT.md says; systemd counts from 0, safe, to 10. */
test.each([
  ["signer.service", 0.5],
  ["signer-sender.service", 1.5],
  ["signer-pull.service", 1.5],
])(
  "%s is exposed by %d at most, as systemd sees it, and the documentation says by how much",
  async (unit, most) => {
    const args = ["security", "--no-pager", "--offline=yes", join(UNITS, unit)];
    const text = (await runOk("systemd-analyze", args)).toString();
    const exposure = Number(/Overall exposure level for \S+: (\d+\.\d+)/.exec(text)?.[1]);
    expect(exposure).toBeLessThanOrEqual(most);
    const docs = readFileSync(join(import.meta.dirname, "../../docs/SPLIT.md"), "utf8");
    expect(docs).toContain(`| \`${unit}\` | ${exposure.toFixed(1)} |`);
  },
);

test("systemd finds nothing wrong with the units", async () => {
  const folder = await tempDir(cleanup);
  cpSync(UNITS, folder, { recursive: true });
  for (const service of SERVICES) {
    // The program is where a package puts it; here it is somewhere else.
    const text = read(service).replaceAll("ExecStart=/usr/lib/signer/bin/signer", `ExecStart=${SIGNER}`);
    writeFileSync(join(folder, service), text);
  }
  const units = [...SERVICES, "signer-sender.socket", "signer@repos.socket"].map((name) =>
    join(folder, name),
  );
  const { status, stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", ...units]);
  expect({ status, said: `${stdout}${stderr}` }).toEqual({ status: 0, said: "" });
});

test.runIf(process.getuid?.() === 0)(
  "sysusers and tmpfiles make the accounts and folders that the units name",
  async () => {
    const root = await tempDir(cleanup);
    for (const folder of ["etc", "run"]) mkdirSync(join(root, folder));
    await runOk("systemd-sysusers", [`--root=${root}`, join(UNITS, "signer.sysusers")]);
    const accounts = readFileSync(join(root, "etc/passwd"), "utf8");
    const groups = readFileSync(join(root, "etc/group"), "utf8");
    for (const service of SERVICES) {
      const [user] = settingsOf(read(service), "User");
      expect(accounts).toMatch(new RegExp(`^${user}:x:\\d+:\\d+:[^:]*:[^:]*:/usr/sbin/nologin$`, "m"));
      expect(groups).toMatch(new RegExp(`^${user}:x:`, "m"));
    }
    await runOk("systemd-tmpfiles", [`--root=${root}`, "--create", join(UNITS, "signer.tmpfiles")]);
    expect(readdirSync(join(root, "var/lib"))).toEqual(["signer", "signer-pull"]);
  },
);

/** Are refused, and nobody misses them: Node does without io_uring, and SQLite gives files away as root alone. */
const NOT_NEEDED = ["io_uring_setup", "io_uring_enter", "io_uring_register", "fchown"];

describe("the system calls that the service makes", () => {
  test("are among those that the unit allows, with and without Node's compilers", async () => {
    const allowed = await allowedSystemCalls(read("signer.service"));
    const host = await makeSplitHost(cleanup);
    for (const jitless of ["", "1"]) {
      const counts = join(await tempDir(cleanup), "counts");
      const service = await startService(cleanup, host, {
        clients: ["repos"],
        tracer: ["strace", "-D", "-f", "-c", "-o", counts],
        env: { SIGNER_JITLESS: jitless },
      });
      for (const packages of [1, 20, 300]) {
        const stdin = buildDatabase({ packages, kind: "db", seed: jitless.length });
        expect(outcome(await service.accept("repos", { command: "core.db.tar.gz", stdin }))).toBe("signed");
      }
      await service.stop();
      await waitFor(() => existsSync(counts) && readFileSync(counts, "latin1").includes("total"));
      const made = readFileSync(counts, "latin1")
        .split("\n")
        .flatMap((line) => /^\s*[\d.]+\s.*?(\S+)$/.exec(line)?.[1] ?? [])
        .filter((name) => name !== "total");
      expect(made.length).toBeGreaterThan(30);
      expect(made).toContain("fsync");
      expect(made.filter((name) => !allowed.has(name) && !NOT_NEEDED.includes(name))).toEqual([]);
    }
  });
});
