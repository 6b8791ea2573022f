import type { Readable, Writable } from "node:stream";
import {
  type ClientConfig,
  DEFAULT_CLIENT_CONFIG_FILE,
  readClientConfig,
  type SshClientConfig,
} from "../../client/client-config.ts";
import { Fault, type Refusal, refusal } from "../../outcome.ts";
import { parseRequester, type Requester } from "../../request/request.ts";
import type { OnTransfer } from "./sign.ts";

/** The variables that signer-client reads; the launcher lets in only these, and what ssh and a terminal need. */
export interface ClientEnvironment {
  readonly host: string | undefined;
  readonly publicKey: string | undefined;
  readonly configFile: string | undefined;
  readonly requester: string | undefined;
  readonly via: string | undefined;
}

/** What the program needs of the process. */
export interface ClientContext {
  readonly environment: ClientEnvironment;
  readonly stdin: Readable;
  readonly stdout: Writable & { readonly isTTY?: boolean };
  /** One coded line on stderr. Returns the exit status. */
  readonly complain: (refusal: Refusal) => number;
  /** One line on stderr that is no failure. */
  readonly note: (text: string) => void;
  /** Undefined where nobody watches. */
  readonly showTransfer: (() => OnTransfer) | undefined;
  /** Aborts when a signal ends the program. */
  readonly signal: AbortSignal;
}

/** Options of every command. */
export interface GlobalOptions {
  readonly config?: string;
  readonly sshCommand?: string;
}

/** What commands share. */
export interface ClientTools extends ClientContext {
  /** @param via how the host is asked, before what variable and file say */
  readonly readConfig: (via?: string) => ClientConfig;
  /** The same, for what only a host that can be reached answers; a refusal where none is. */
  readonly readSshConfig: () => SshClientConfig | Refusal;
  readonly finish: (refusal?: Refusal) => void;
}

/** Reads the configuration that option, variable or default names; only the default may be missing. */
export function readConfigOf(
  { environment }: ClientContext,
  options: GlobalOptions,
  via = environment.via,
): ClientConfig {
  const named = options.config ?? environment.configFile;
  const { host, publicKey: publicKeyFile } = environment;
  const [program, ...args] = options.sshCommand?.trim().split(/ +/) ?? [];
  return readClientConfig(named ?? DEFAULT_CLIENT_CONFIG_FILE, {
    mustExist: named !== undefined,
    overrides: {
      ...(via === undefined ? {} : { via }),
      ...(host === undefined ? {} : { host }),
      ...(publicKeyFile === undefined ? {} : { publicKeyFile }),
      ...(program === undefined || program === "" ? {} : { sshCommand: [program, ...args] }),
    },
  });
}

/** The configuration of a host that can be asked something: where it fetches its work, nothing leads to it. */
export function askable(config: ClientConfig): SshClientConfig | Refusal {
  return config.via === "ssh"
    ? config
    : refusal(
        "bad-request",
        'with pull nothing leads to the signing host, so it cannot be asked: run "signer status" or "signer key export" there',
      );
}

/** Who asks, from the environment; `bad-configuration` where it is no such name. */
export function requesterOf({ requester }: ClientEnvironment): Requester | undefined {
  const parsed = requester === undefined ? undefined : parseRequester(requester);
  if (requester !== undefined && parsed === undefined)
    throw new Fault("bad-configuration", "SIGNER_FOR: expected 1 to 64 characters of A-Z, a-z, 0-9, @._+-");
  return parsed;
}

/** Bytes for stdout. Fault `signature-not-written` where they cannot be written. */
export async function writeOut(stdout: Writable, bytes: Uint8Array | string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (cause: unknown) =>
    reject(new Fault("signature-not-written", "expected stdout to be writable", { cause }));
  stdout.once("error", fail);
  stdout.write(bytes, (error) => (error ? fail(error) : resolve()));
  await promise;
  stdout.off("error", fail);
}
