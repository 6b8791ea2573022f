import { readFileSync } from "node:fs";
import type { BaseAgent, IdentityCallback, ParsedKey } from "ssh2";
import { Fault, quoted } from "../outcome.ts";
import type { SshSettings } from "./ssh-settings.ts";

type Ssh2 = typeof import("ssh2");

/** What logs a client in; tried in this order: keys of files, then the agent's. */
export interface LoginKeys {
  readonly keys: readonly ParsedKey[];
  readonly agent: BaseAgent | undefined;
  /** Files whose key has a passphrase: an agent can use them, we cannot. */
  readonly locked: readonly string[];
}

/**
 * Reads the keys that may log in.
 * @param mustRead client.toml names the files, so that one which cannot be read is a mistake; those of ssh_config may be missing
 * @throws Fault `bad-configuration`, also where nothing is left to try
 */
export function loginKeys(ssh2: Ssh2, settings: SshSettings, mustRead: boolean): LoginKeys {
  const keys: ParsedKey[] = [];
  const locked: string[] = [];
  const publicBlobs: Buffer[] = [];
  for (const file of settings.identities) {
    const bytes = readKey(file, mustRead);
    if (bytes === undefined) continue;
    const key = ssh2.utils.parseKey(bytes);
    if (key instanceof Error) {
      if (!/passphrase|[Ee]ncrypted/.test(key.message)) {
        if (!mustRead) continue;
        throw new Fault("bad-configuration", `${quoted(file, 200)} is no private key of OpenSSH`, {
          cause: key,
        });
      }
      locked.push(file);
      publicBlobs.push(...publicBlobBeside(ssh2, file));
      continue;
    }
    publicBlobs.push(key.getPublicSSH());
    if (key.isPrivateKey()) keys.push(key);
  }
  const agent =
    settings.agent === undefined
      ? undefined
      : agentAt(ssh2, settings.agent, settings.identitiesOnly ? publicBlobs : undefined);
  if (keys.length === 0 && agent === undefined) throw nothingToTry(locked);
  return { keys, agent, locked };
}

function nothingToTry(locked: readonly string[]): Fault {
  const [file] = locked;
  return new Fault(
    "bad-configuration",
    file === undefined
      ? "there is no key to log in with: name one in identities, or start an agent"
      : `the key ${quoted(file, 200)} has a passphrase: ssh-add it to an agent`,
  );
}

function readKey(file: string, mustRead: boolean): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (cause) {
    if (!mustRead) return undefined;
    const { code } = cause as NodeJS.ErrnoException;
    throw new Fault("bad-configuration", `the key ${quoted(file, 200)} cannot be read (${code})`, { cause });
  }
}

function publicBlobBeside(ssh2: Ssh2, file: string): Buffer[] {
  const bytes = readKey(`${file}.pub`, false);
  const key = bytes === undefined ? undefined : ssh2.utils.parseKey(bytes);
  return key === undefined || key instanceof Error ? [] : [key.getPublicSSH()];
}

/** @param only the public keys to offer: one of many keys would use up the host's MaxAuthTries before the right one */
function agentAt(ssh2: Ssh2, socket: string, only: readonly Buffer[] | undefined): BaseAgent {
  if (only === undefined) return ssh2.createAgent(socket);
  class LimitedAgent extends ssh2.OpenSSHAgent {
    override getIdentities(callback: IdentityCallback<ParsedKey>): void {
      super.getIdentities((error, keys = []) => {
        if (error) callback(error);
        else
          callback(
            undefined,
            (keys as ParsedKey[]).filter((key) => only?.some((blob) => blob.equals(key.getPublicSSH()))),
          );
      });
    }
  }
  return new LimitedAgent(socket) as BaseAgent;
}
