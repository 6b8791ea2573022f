import { Fault, isRefusal, type Refusal, refusal } from "../outcome.ts";
import { encodeRequest, type FileName, type Requester } from "../request/request.ts";
import { encodeBatch, MAX_BATCH_FILE_BYTES } from "./batch-archive.ts";
import type { ClientConfig, PullClientConfig, SshClientConfig } from "./client-config.ts";
import { withPatience } from "./patience.ts";
import { type PinnedCertificates, readPinnedCertificates } from "./pinned-certificates.ts";
import { remoteRefusal } from "./remote-outcome.ts";
import { ChangedWhileSent, counting, type OnProgress, openSentFile, type SentBytes } from "./sent-file.ts";
import { maxArchiveBytes, readSignatureArchive } from "./signature-archive-reader.ts";
import { connectToHost, type RemoteResult, type SigningHostConnection } from "./signing-host.ts";
import { MAX_SIGNATURE_BYTES, notGood, signatureObjection } from "./verification.ts";

/** A file on this machine. `path` is opened once; what was sent is what is verified. */
export interface FileToSign {
  readonly path: string;
  readonly name: FileName;
}

export interface SignOptions {
  /** Who asks; before `for` of the configuration. */
  readonly for?: Requester | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with how many bytes were handed over, of how many; undefined for a stream. Starts over with a new attempt. */
  readonly onProgress?: OnProgress | undefined;
  /** Told what somebody should know that is no failure. One line. */
  readonly onNote?: ((text: string) => void) | undefined;
  /** How to reach the host; {@link connectToHost} unless a test says otherwise. */
  readonly connect?: typeof connectToHost;
}

/** Asks once: the signatures; a no; or the Fault of an answer that did not come, after which asking again is of no use. */
type Attempt = () => Promise<readonly Uint8Array[] | Refusal | Fault>;

/**
 * Has files signed, over SSH (one by `sign`, several by one `batch`) or by pull, as the configuration says. Signatures are in the
 * order of the files, each verified against the pinned certificates over the bytes sent. A connection that is lost is tried again.
 * @returns the host's refusal, with its own code and reason; `bad-request` too for a file that cannot be read
 * @throws Fault `signing-failed` where what came is not the signature asked for; those of {@link connectToHost}; the host's own
 */
export async function signFiles(
  config: ClientConfig,
  files: readonly FileToSign[],
  options: SignOptions = {},
): Promise<readonly Uint8Array[] | Refusal> {
  const sources: SentBytes[] = [];
  try {
    for (const { path, name } of files) {
      const source = await openSentFile(path, name);
      if (isRefusal(source)) return source;
      sources.push(source);
    }
    return await signSources(config, sources, options);
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** As {@link signFiles}, of what is open already. What can be read once only is tried once only. */
export async function signSources(
  config: ClientConfig,
  sources: readonly SentBytes[],
  options: SignOptions = {},
): Promise<readonly Uint8Array[] | Refusal> {
  if (sources.length === 0) return [];
  const certificates = await readPinnedCertificates(config.publicKeyFile);
  const asked = { ...options, for: options.for ?? config.for };
  const attempt: Attempt =
    config.via === "pull"
      ? await pullAttempt(config, sources, certificates, asked)
      : sshAttempt(config, sources, certificates, asked);
  try {
    const result = sources.every(({ repeatable }) => repeatable)
      ? await withPatience(attempt, { waitMs: config.waitMs, signal: options.signal })
      : await attempt();
    if (result instanceof Fault) throw result;
    return result;
  } catch (error) {
    if (error instanceof ChangedWhileSent) return error.refusal;
    throw error;
  }
}

async function pullAttempt(
  config: PullClientConfig,
  sources: readonly SentBytes[],
  certificates: PinnedCertificates,
  options: SignOptions,
): Promise<Attempt> {
  const { askByPull } = await import("./ask-by-pull.ts");
  return () => askByPull(config, sources, certificates, options);
}

function sshAttempt(
  config: SshClientConfig,
  sources: readonly SentBytes[],
  certificates: PinnedCertificates,
  options: SignOptions,
): Attempt {
  const connect = options.connect ?? connectToHost;
  return async () => {
    const connection = await connect(config, options.signal);
    try {
      return await ask(connection, sources, certificates, options);
    } finally {
      await connection.close();
    }
  };
}

async function ask(
  connection: SigningHostConnection,
  sources: readonly SentBytes[],
  certificates: PinnedCertificates,
  options: SignOptions,
): Promise<readonly Uint8Array[] | Refusal> {
  const requestedAt = new Date();
  const [first, ...others] = sources;
  const result =
    first !== undefined && others.length === 0
      ? await askForOne(connection, first, options)
      : await askForAll(connection, sources, options);
  if (isRefusal(result)) return result;
  for (const [index, signature] of result.entries()) {
    const source = sources[index];
    if (source?.message === undefined)
      throw notGood(source?.name, "the host answered before it had seen the whole file");
    const { name, message } = source;
    const request = { name, message, requestedAt };
    const objection = await signatureObjection(signature, request, certificates, new Date());
    if (objection !== undefined) throw notGood(name, objection);
  }
  return result;
}

async function askForOne(
  connection: SigningHostConnection,
  source: SentBytes,
  options: SignOptions,
): Promise<readonly Uint8Array[] | Refusal> {
  const command = encodeRequest({ kind: "sign", name: source.name, for: options.for });
  const counted = counting(source.content(), source.size, options);
  const { signal } = options;
  const result = await connection.run(command, counted, { maxOutputBytes: MAX_SIGNATURE_BYTES, signal });
  return outcomeOf(result, ({ output }) => [output]);
}

async function askForAll(
  connection: SigningHostConnection,
  sources: readonly SentBytes[],
  options: SignOptions,
): Promise<readonly Uint8Array[] | Refusal> {
  const names: FileName[] = [];
  let size = 0;
  for (const source of sources) {
    if (source.name === undefined || source.size === undefined || source.size > MAX_BATCH_FILE_BYTES)
      return refusal("bad-request", "expected files of less than 8 GiB, with names, where there are several");
    if (names.includes(source.name))
      return refusal("bad-request", `expected each file name once, not ${source.name} again`);
    names.push(source.name);
    size += source.size;
  }
  let sent = 0;
  const files = sources.map((source, index) => ({
    name: names[index] as FileName,
    size: source.size ?? 0,
    content: () => counting(source.content(), size, options, (bytes) => (sent += bytes)),
  }));
  const command = encodeRequest({ kind: "batch", for: options.for });
  const result = await connection.run(command, encodeBatch(files), {
    maxOutputBytes: maxArchiveBytes(sources.length),
    signal: options.signal,
  });
  return outcomeOf(result, ({ output }) => {
    const signatures = readSignatureArchive(output, names);
    if (typeof signatures !== "string") return signatures;
    throw new Fault("signing-failed", `expected a whole archive of signatures: ${signatures}`);
  });
}

function outcomeOf(
  result: RemoteResult,
  read: (result: RemoteResult) => readonly Uint8Array[],
): readonly Uint8Array[] | Refusal {
  return result.exitStatus === 0 ? read(result) : remoteRefusal(result);
}
