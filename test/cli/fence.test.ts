import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { makeSigningHost, SIGNER } from "../support/signing-host.ts";
import { waitFor } from "../support/signing-service.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

test("a service starts with a journal in the folder that everything else is in, and fenced", async () => {
  const sockets = await tempDir(cleanup);
  const settings = `mode = "split"\nservice = { sockets = ${JSON.stringify(sockets)} }`;
  const host = await makeSigningHost(cleanup, { settings });
  const journal = join(host.folder, "journal.jsonl");
  const text = readFileSync(host.configFile, "utf8");
  writeFileSync(host.configFile, `journal = ${JSON.stringify(journal)}\n${text}`);
  const child = spawn(SIGNER, ["--config", host.configFile, "serve"], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: "ignore",
  });
  const exited = once(child, "exit");
  cleanup.add(() => child.kill("SIGKILL"));
  const said = () => {
    try {
      return readFileSync(journal, "utf8");
    } catch {
      return "";
    }
  };
  await waitFor(() => child.exitCode !== null || said().includes('"serving"'));
  expect(readFileSync(`/proc/${child.pid}/cmdline`, "latin1").split("\0")).toContain("--permission");
  child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});

test("a service may use two folders of which one's name begins like the other's", async () => {
  const sockets = await tempDir(cleanup);
  const settings = `mode = "split"\nservice = { sockets = ${JSON.stringify(sockets)} }`;
  const host = await makeSigningHost(cleanup, { settings });
  const journal = join(`${host.stateDirectory}-journal`, "journal.jsonl");
  mkdirSync(`${host.stateDirectory}-journal`);
  const text = readFileSync(host.configFile, "utf8");
  writeFileSync(host.configFile, `journal = ${JSON.stringify(journal)}\n${text}`);
  const child = spawn(SIGNER, ["--config", host.configFile, "serve"], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: "ignore",
  });
  cleanup.add(() => child.kill("SIGKILL"));
  await waitFor(() => existsSync(journal) && readFileSync(journal, "utf8").includes('"serving"'));
  const flags = readFileSync(`/proc/${child.pid}/cmdline`, "latin1").split("\0");
  // One that begins like both; neither folder itself would be left to it otherwise.
  expect(flags).toContain(`--allow-fs-write=${host.stateDirectory}*`);
  expect(flags).not.toContain(`--allow-fs-write=${host.stateDirectory}-journal`);
});
