import type { WitnessKey } from "../log/cosignature.ts";
import type { Rule } from "../policy/rule.ts";
import type { KeyName } from "../request/request.ts";

/** Where the configuration is unless `--config` says otherwise. */
export const DEFAULT_CONFIG_FILE = "/etc/signer/signer.toml";

/**
 * Who signs: the forced command itself, in the account that SSH logs into, or a service in an account of its own, which
 * the forced command passes the request to.
 */
export const MODES = ["standalone", "split"] as const;
export type Mode = (typeof MODES)[number];

/** The whole configuration, checked: what the administrator wrote, with every default filled in. */
export interface Config {
  /** Identity of this log: first line of every checkpoint (C2SP tlog-checkpoint). */
  readonly origin: string;
  /** The domain of the notations in each signature (RFC 9580 §5.2.3.24). */
  readonly notationDomain: string;
  readonly mode: Mode;
  /** Absolute path of the folder that holds ledger, log and log key. */
  readonly stateDirectory: string;
  readonly keys: ReadonlyMap<KeyName, KeySource>;
  /** In file order: the first that fits decides. */
  readonly rules: readonly Rule[];
  /** How long the same request gets the stored signature again. */
  readonly reissueWindowMs: number;
  readonly deadlines: Deadlines;
  /** In file order; names are unique. */
  readonly remoteLogs: readonly RemoteLogSource[];
  /** File that the operational journal is appended to; undefined: none is kept. */
  readonly journalFile: string | undefined;
  /** How `signer serve` is reached; of no meaning to the standalone forced command. */
  readonly service: ServiceSettings;
  /** Where `signer sender` listens, and the service connects to it. */
  readonly sender: SenderSettings;
  readonly pull: PullSettings;
  /** Where `signer pull` fetches its work; names are unique. */
  readonly sources: readonly PullSource[];
}

/** `[pull]`. */
export interface PullSettings {
  /** Absolute path of the folder that keeps what was seen of each source, and unfinished downloads. */
  readonly stateDirectory: string;
}

/** One `[[sources]]`: a repository server that `signer pull` fetches its work from. Paths are absolute, of PEM files. */
export interface PullSource {
  readonly name: string;
  /** `https://HOST[:PORT][/PATH]`, no slash at its end. */
  readonly url: string;
  /** Its requests are those of this client of the rules. */
  readonly client: string;
  readonly caFile: string;
  readonly crlFile: string | undefined;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Blob of the Ed25519 key (RFC 8709 §4) that signs its notifications. */
  readonly notificationKey: Uint8Array;
  /** Between two questions for a notification, give or take a fifth. */
  readonly pollMs: number;
  /** Longest wait before something that failed is tried again. */
  readonly maxBackOffMs: number;
  /** Silence of the server after which a connection is given up. */
  readonly timeoutMs: number;
  /** Largest file that is fetched. */
  readonly maxBytes: number;
  /** `socks5h://HOST:PORT`, which also looks the server's name up; undefined: none. */
  readonly proxy: string | undefined;
}

/** `[sender]`. */
export interface SenderSettings {
  /** Absolute path of its socket. */
  readonly socketPath: string;
  /** Name or number of the group that may connect beside the owner; undefined: nobody else may. */
  readonly group: string | undefined;
}

/** `[service]`. */
export interface ServiceSettings {
  /** Absolute path of the folder with a socket for each client of the rules, `CLIENT.sock`. */
  readonly socketDirectory: string;
  /** Name or number of the group that may connect to a client's socket; a client without one: the service's own group. */
  readonly groups: ReadonlyMap<string, string>;
  /** Connections that one client may have open. */
  readonly maxConnections: number;
  /** Of these, requests that are read and decided at the same time; the others wait for their turn. */
  readonly maxActive: number;
  /** File that metrics are written to; undefined: none. */
  readonly metricsFile: string | undefined;
}

/** How long a client may take to send its file. */
export interface Deadlines {
  /** Without a byte. */
  readonly idleMs: number;
  /** From the first to the last byte. */
  readonly totalMs: number;
}

/** One `[keys.NAME]`. */
export interface KeySource {
  /** Absolute path of an OpenPGP secret key file. */
  readonly file: string;
  /** Name of the file in $CREDENTIALS_DIRECTORY that holds the passphrase; undefined: the key has none. */
  readonly passphraseCredential: string | undefined;
}

/** One `[[remote_log]]`. */
export type RemoteLogSource = LogHostSource | SyslogRemoteLog;

/** A log host, whatever leads to it: it keeps a copy, and acknowledges. */
export type LogHostSource = SshRemoteLog | HttpsRemoteLog;

export function isLogHost(source: RemoteLogSource): source is LogHostSource {
  return source.kind !== "syslog";
}

/** All files that connecting to it reads. */
export function remoteLogFiles(source: RemoteLogSource): readonly string[] {
  if (source.kind === "ssh") return [source.keyFile];
  const crlFile = source.kind === "https" ? source.crlFile : undefined;
  const files = [source.caFile, crlFile, source.certificateFile, source.keyFile];
  return files.filter((file) => file !== undefined);
}

interface RemoteLogBase {
  readonly name: string;
  /** From the first packet to the last, in ms. */
  readonly timeoutMs: number;
}

interface LogHostBase extends RemoteLogBase {
  /** Who must cosign. */
  readonly witness: WitnessKey;
  /** Whether a signature waits for the acknowledgement. */
  readonly required: boolean;
}

/** A log host whose forced command is `signer-log receive`. */
export interface SshRemoteLog extends LogHostBase {
  readonly kind: "ssh";
  /** DNS name or address. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Absolute path of an OpenSSH private key without a passphrase. */
  readonly keyFile: string;
  /** The one host key that is accepted: the public key blob (RFC 4253 §6.6), and its type. */
  readonly hostKey: { readonly type: string; readonly blob: Uint8Array };
}

/** A log host whose `signer-log receive --http` is behind a web server, over mutual TLS. Files are absolute paths of PEM. */
export interface HttpsRemoteLog extends LogHostBase {
  readonly kind: "https";
  /** `https://HOST[:PORT][/BASE]`, without a slash at its end: `/log` is put behind it. */
  readonly url: string;
  /** The site's own CA, which alone is trusted. */
  readonly caFile: string;
  /** Certificates that it has revoked; undefined: none. */
  readonly crlFile: string | undefined;
  /** The certificate and key that this host shows. */
  readonly certificateFile: string;
  readonly keyFile: string;
  /** `socks5h://HOST:PORT`, which also looks the log host's name up; undefined: none. */
  readonly proxy: string | undefined;
}

/** A collector that takes syslog over TLS (RFC 5425). It acknowledges nothing. */
export interface SyslogRemoteLog extends RemoteLogBase {
  readonly kind: "syslog";
  /** DNS name or address. */
  readonly host: string;
  readonly port: number;
  /** Absolute path of the CA certificates that alone are trusted, PEM. */
  readonly caFile: string;
  /** Absolute paths of the certificate and key that this host shows, PEM; both or none. */
  readonly certificateFile: string | undefined;
  readonly keyFile: string | undefined;
}
