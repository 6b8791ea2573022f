import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PullClientConfig } from "../../src/client/client-config.ts";
import { currentHolder, encodeLockHolder, type LockHolder } from "../../src/repository/lock-holder.ts";
import { type HostInProcess, makeHost } from "../sign/fixture.ts";
import type { Cleanup } from "../support/cleanup.ts";
import type { Sign } from "../support/pull-enclave.ts";
import { makePullFolder, type PullFolderUnderTest } from "../support/pull-folder.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A name as a process has given it that is gone: it had this process's number before. */
export function goneName(label: string): string {
  return nameOf(label, { startTicks: "1" });
}

/** The same, of a process that runs in another container, or did. */
export function elsewhereName(label: string): string {
  return nameOf(label, { namespace: "1" });
}

function nameOf(label: string, changed: Partial<LockHolder>): string {
  return `${label}@${encodeLockHolder({ ...currentHolder(), ...changed }).slice("lock-".length)}`;
}

/** A repository server and a signing host that does not know yet how its work comes. */
export interface PullStory {
  readonly folder: PullFolderUnderTest;
  readonly host: HostInProcess;
  readonly config: PullClientConfig;
  /** File of the host's OpenPGP certificate. */
  readonly publicKeyFile: string;
  /** Real signatures and refusals, by the host's rules. */
  readonly sign: Sign;
}

export async function makePullStory(
  cleanup: Cleanup,
  options: { readonly rules?: string; readonly timeoutMs?: number } = {},
): Promise<PullStory> {
  const { timeoutMs, ...settings } = options;
  const [folder, host] = await Promise.all([
    makePullFolder(cleanup, timeoutMs === undefined ? {} : { timeoutMs }),
    makeHost(cleanup, { ...settings, now: new Date() }),
  ]);
  const publicKeyFile = join(await tempDir(cleanup), "repo.asc");
  writeFileSync(publicKeyFile, (await host.host.loadKey("repo" as never)).armoredPublicKey);
  const pull = { folder: folder.folder, keyFile: folder.keyFile, timeoutMs: folder.timeoutMs };
  return {
    folder,
    host,
    publicKeyFile,
    config: { via: "pull", publicKeyFile, for: undefined, waitMs: 0, pull },
    sign: async (file, bytes) => {
      host.clock.now = new Date();
      const words = ["sign", ...(file.for === undefined ? [] : ["--for", file.for]), file.name];
      const answer = await host.call(words.join(" "), bytes);
      if ("receipt" in answer) return answer.receipt.signature;
      if (answer.kind === "refusal") return answer;
      throw new Error(`not an answer: ${answer.kind}`);
    },
  };
}

/** The story's `client.toml`. */
export function configText({ config: { publicKeyFile, pull } }: PullStory): string {
  return `via = "pull"
public_key = "${publicKeyFile}"
[pull]
folder = "${pull.folder}"
key = "${pull.keyFile}"
timeout = "60 s"
`;
}
