import { spawn } from "node:child_process";
import { createReadStream, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { parse } from "smol-toml";
import * as v from "valibot";
import { openpgpjsObjection } from "../../openpgp/openpgpjs-verification.ts";
import {
  EXIT,
  Fault,
  type FaultCode,
  isRefusal,
  quoted,
  type Refusal,
  type RefusalCode,
  refusal,
} from "../../outcome.ts";
import { errorCode } from "../../repository/repository-fault.ts";
import type { DatabaseToSign } from "../../repository/update.ts";
import { encodeRequest, parseRequester, type Requester } from "../../request/request.ts";
import type { RepositoryEnvironment } from "./repository-environment.ts";
import type { Signing } from "./repository-program.ts";

/** Signing over the ssh of the machine, one connection for each database. */

const DEFAULT_CONFIG_FILE = "/etc/signer/client.toml";

/** A database is at most 128 MiB: with a slow line and a limit that is waited for, less than this. */
const TIMEOUT_MS = 10 * 60 * 1000;

/** pacman refuses a longer signature. */
const MAX_SIGNATURE_BYTES = 16 * 1024;
const MAX_STDERR_BYTES = 64 * 1024;

const SSH = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ServerAliveInterval=15"];

const Schema = v.object({
  host: v.optional(v.string()),
  public_key: v.optional(v.string()),
  for: v.optional(v.string()),
  ssh_command: v.optional(v.pipe(v.array(v.string()), v.minLength(1))),
});

/** Reads `host`, `public_key`, `for` and `ssh_command` of the configuration; SIGNER_HOST and SIGNER_PUBLIC_KEY come first. */
export async function openSshSigning(
  environment: RepositoryEnvironment,
  options: { readonly config: string | undefined; readonly requester: Requester | undefined },
): Promise<Signing> {
  const named = options.config ?? environment.clientConfig;
  const file = named ?? DEFAULT_CONFIG_FILE;
  const config = readConfig(file, named !== undefined);
  const host = environment.host ?? config.host;
  const keyFile = environment.publicKey ?? config.public_key;
  if (host === undefined || !/^[A-Za-z0-9][A-Za-z0-9._@:-]*$/.test(host))
    throw new Fault("bad-configuration", `expected host = "NAME" in ${file}, or SIGNER_HOST`);
  if (keyFile === undefined)
    throw new Fault("bad-configuration", `expected public_key = "FILE" in ${file}, or SIGNER_PUBLIC_KEY`);
  const requester = options.requester ?? (config.for === undefined ? undefined : parseRequester(config.for));
  const certificate = readKey(keyFile);
  const [command = "ssh", ...args] = config.ssh_command ?? ["ssh", ...SSH];
  const objection = async (path: string, signature: Uint8Array) =>
    openpgpjsObjection(certificate, await readFile(path), signature, new Date());
  return {
    verify: objection,
    sign: async (files, signal) => {
      const signatures: Uint8Array[] = [];
      for (const { path, name } of files) {
        const request = encodeRequest({ kind: "sign", name, for: requester });
        const answer = await ask(
          command,
          [...args, "--", host, request],
          { path, name },
          environment,
          signal,
        );
        if (isRefusal(answer)) return answer;
        const why = await objection(path, answer);
        if (why !== undefined)
          throw new Fault("signing-failed", `expected a good signature of ${name}: ${quoted(why, 200)}`);
        signatures.push(answer);
      }
      return signatures;
    },
  };
}

function readConfig(file: string, mustBeThere: boolean): v.InferOutput<typeof Schema> {
  try {
    return v.parse(Schema, parse(readFileSync(file, "utf8")));
  } catch (error) {
    if (errorCode(error) === "ENOENT" && !mustBeThere) return {};
    throw new Fault("bad-configuration", `expected a client's configuration in ${quoted(file, 300)}`, {
      cause: error,
    });
  }
}

function readKey(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Fault("bad-configuration", `expected the signing host's public key in ${quoted(file, 300)}`, {
      cause: error,
    });
  }
}

async function ask(
  command: string,
  args: readonly string[],
  { path, name }: DatabaseToSign,
  environment: RepositoryEnvironment,
  signal: AbortSignal,
): Promise<Uint8Array | Refusal> {
  const timely = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const child = spawn(command, args, { env: environment.ssh, stdio: "pipe", signal: timely });
  const [stdout, stderr] = [
    collect(child.stdout, MAX_SIGNATURE_BYTES),
    collect(child.stderr, MAX_STDERR_BYTES),
  ];
  const ended = new Promise<number | undefined>((resolve) => {
    child.on("error", () => resolve(undefined));
    child.on("close", (status) => resolve(status ?? undefined));
  });
  // A host that refuses stops reading: what it says is the reason, not the broken pipe.
  await pipeline(createReadStream(path), child.stdin).catch(() => undefined);
  const status = await ended;
  signal.throwIfAborted();
  const [signature, said] = [await stdout, (await stderr).toString("utf8")];
  if (status === 0) return signature;
  const [, code = "", reason = ""] = /^signer: ([a-z-]+): ([\x20-\x7e]+)$/m.exec(said) ?? [];
  if (status === undefined || !(code in EXIT) || EXIT[code as RefusalCode] !== status)
    throw new Fault(
      "host-unreachable",
      `expected an answer of the signing host: ${quoted(said.trim(), 200)}`,
    );
  if (status === EXIT["bad-request"] || status === 65 || status === 77 || (status === 75 && code !== "busy"))
    return refusal(code as RefusalCode, `${name}: ${reason}`);
  throw new Fault(code as FaultCode, `${name}: ${reason}`);
}

async function collect(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
    }
  } catch {
    // The end of the process says more.
  }
  return Buffer.concat(chunks);
}
