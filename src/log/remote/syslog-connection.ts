import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import type { SyslogRemoteLog as SyslogSource } from "../../config/config.ts";
import { Fault, quoted } from "../../outcome.ts";
import type { CollectorConnection } from "./collector-connection.ts";

/** Authenticated encryption with forward secrecy; TLS 1.2 among it as RFC 9662 §4 wants it of senders. */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE+AESGCM",
  "ECDHE+CHACHA20",
].join(":");

/**
 * Between the last octet and this side's end, in ms. A collector that goes away meanwhile is noticed; and rsyslog 8.2302 with
 * OpenSSL, on its first connection, loses what it finds together with the end.
 */
const PAUSE_MS = 100;

/**
 * One TLS connection to a syslog collector, which is who the configured CA says (RFC 5425 §5.2) before a byte is sent. All
 * Faults are `remote-log-unavailable`.
 */
export class SyslogConnection implements CollectorConnection {
  readonly #source: SyslogSource;
  readonly #socket: TLSSocket;
  readonly #opened: Promise<void>;
  readonly #closed: Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #limited = false;
  /** Whether this side has begun to end it. */
  #ending = false;
  /** Why the connection is of no use. */
  #fault: Fault | undefined;

  /** Begins to connect; Fault where the files of CA, certificate and key cannot be used. */
  constructor(source: SyslogSource) {
    this.#source = source;
    this.#socket = connectTls(source);
    this.#opened = new Promise((resolve) => {
      this.#socket.once("secureConnect", () => {
        if (!this.#limited) clearTimeout(this.#timer); // it may wait, idle, until there is something to send
        resolve();
      });
      this.#socket.once("close", resolve);
    });
    this.#closed = new Promise((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.on("error", (error) => this.#fail(describeError(error, source), error));
    // Before this side ends it, an end is a collector that goes away.
    this.#socket.on("end", () => {
      if (!this.#ending) this.#fail("closed the connection");
    });
    this.#socket.once("close", () => clearTimeout(this.#timer));
    this.#socket.resume(); // a collector has nothing to say, but its end is awaited
    this.#startTimer();
  }

  get isUsable(): boolean {
    return this.#fault === undefined && !this.#ending && !this.#socket.destroyed;
  }

  limit(): void {
    this.#limited = true;
    this.#startTimer();
  }

  async opened(): Promise<void> {
    await this.#opened;
    this.#check();
  }

  /** Where chunks are long in coming, a collector that goes away meanwhile ends the waiting. */
  async send(chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
    await this.opened();
    const source =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
    for (;;) {
      const next = await Promise.race([source.next(), this.#closed]);
      this.#check();
      if (next === undefined || next.done === true) break;
      await new Promise<void>((resolve) => this.#socket.write(next.value, () => resolve()));
      this.#check();
    }
    await Promise.race([delay(PAUSE_MS), this.#closed]);
    this.#check();
    this.#ending = true;
    this.#socket.end();
    await this.#closed;
    this.#check();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#ending = true;
    this.#socket.unref();
    if (!this.#socket.authorized) this.#socket.destroy();
    else this.#socket.end(() => this.#socket.destroy());
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    const { timeoutMs } = this.#source;
    this.#timer = setTimeout(() => {
      const what = this.#socket.authorized ? "take everything" : "answer";
      this.#fail(`did not ${what} within ${timeoutMs} ms`);
      this.#socket.destroy();
    }, timeoutMs);
  }

  #check(): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#socket.destroyed && !this.#socket.writableFinished)
      throw this.#faultOf("closed the connection");
  }

  #fail(what: string, cause?: Error): void {
    this.#fault ??= this.#faultOf(what, cause);
  }

  #faultOf(what: string, cause?: Error): Fault {
    const { host, port } = this.#source;
    const place = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
    return unavailable(`the syslog collector ${place} ${what}`, cause);
  }
}

/**
 * Whether a collector can be reached, is who the CA says, and takes this host's certificate: connects, sends nothing, ends.
 * The Fault that says why not.
 */
export async function checkCollector(source: SyslogSource): Promise<Fault | undefined> {
  let connection: SyslogConnection | undefined;
  try {
    connection = new SyslogConnection(source);
    connection.limit();
    await connection.send([]);
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  } finally {
    connection?.close();
  }
}

function connectTls(source: SyslogSource): TLSSocket {
  const { caFile, certificateFile, keyFile } = source;
  const options: ConnectionOptions = {
    host: source.host, // also the name, or address, that the certificate has to be for
    port: source.port,
    ca: readCertificates(caFile),
    rejectUnauthorized: true, // the default can be turned off from the environment
    minVersion: "TLSv1.2",
    ciphers: CIPHERS,
  };
  if (certificateFile === undefined || keyFile === undefined) return connect(options);
  const own = { cert: read(certificateFile), key: read(keyFile) };
  try {
    return connect({ ...options, ...own });
  } catch (cause) {
    throw unavailable(`${certificateFile} and ${keyFile} are no certificate and its key`, cause);
  }
}

/** All certificates of a file, at least one: without any, Node would trust the CAs of the web. */
function readCertificates(file: string): string[] {
  const blocks = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
  const found = read(file).match(blocks) ?? [];
  try {
    for (const block of found) new X509Certificate(block);
  } catch (cause) {
    throw unavailable(`${file} holds something that is no certificate`, cause);
  }
  if (found.length === 0) throw unavailable(`${file} holds no certificate`);
  return found;
}

function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch (cause) {
    throw unavailable(`${file} cannot be read`, cause);
  }
}

function unavailable(what: string, cause?: unknown): Fault {
  return new Fault("remote-log-unavailable", what, { cause });
}

/** What the collector did, after "the syslog collector HOST:PORT". */
function describeError(error: Error, { caFile }: SyslogSource): string {
  const code = "code" in error ? String(error.code) : "";
  if (code === "CERT_HAS_EXPIRED") return "shows a certificate that has expired";
  if (code === "CERT_NOT_YET_VALID") return "shows a certificate that is not valid yet";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "shows a certificate for another name";
  if (/^UNABLE_TO_|SELF_SIGNED|^CERT_|INVALID_CA|INVALID_PURPOSE/.test(code))
    return `shows a certificate that none in ${caFile} vouches for`;
  if (code === "ECONNREFUSED") return "does not listen";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "has no address";
  if (/ALERT_(CERTIFICATE|BAD_CERT|UNSUPPORTED_CERT|UNKNOWN_CA|ACCESS_DENIED)/.test(code))
    return "refuses this host's certificate, or asks for one";
  if (/ALERT_HANDSHAKE_FAILURE/.test(code))
    return "refuses the handshake: it asks for a certificate, or has no cipher in common with this host";
  if (/ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(code)) return "speaks neither TLS 1.2 nor TLS 1.3";
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(code)) return "does not speak TLS";
  return `cannot be talked to: ${quoted(code || error.message)}`;
}
