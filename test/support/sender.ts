import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { SIGNER } from "./signing-host.ts";
import { waitFor } from "./signing-service.ts";
import { tempDir } from "./temp-dir.ts";

/** A `signer sender` of its own process. */
export interface SenderProcess {
  readonly process: ChildProcess;
  /** What it wrote to stderr so far, one line each. */
  said(): readonly string[];
  /** Ends it: its exit status, or the signal that killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** Where the sender is to listen, as a line of the configuration. */
export async function senderSetting(
  cleanup: Cleanup,
): Promise<{ readonly path: string; readonly toml: string }> {
  const path = join(await tempDir(cleanup), "sender.sock");
  return { path, toml: `sender = { socket = ${JSON.stringify(path)} }` };
}

/** Starts `signer sender` with a configuration, and waits until it listens; `cleanup` ends it. */
export async function startSenderProcess(
  cleanup: Cleanup,
  configFile: string,
  args: readonly string[] = [],
): Promise<SenderProcess> {
  const child = spawn(SIGNER, ["--config", configFile, "sender", ...args], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill(signal);
      await exited;
    }
    return child.exitCode ?? child.signalCode ?? "";
  };
  cleanup.add(() => stop("SIGKILL"));
  const said = () => text.split("\n").slice(0, -1);
  await waitFor(() => {
    if (child.exitCode !== null) throw new Error(`signer sender ended with ${child.exitCode}: ${text}`);
    return said().some((line) => line.startsWith("signer: sender: ready for "));
  });
  return { process: child, said, stop };
}
