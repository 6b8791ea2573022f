import type { Server, Socket } from "node:net";
import {
  type Config,
  isLogHost,
  type LogHostSource,
  type RemoteLogSource,
  type SyslogRemoteLog,
} from "../config/config.ts";
import { connectTo } from "../log/remote/connect.ts";
import { noAnswer } from "../log/remote/remote-log-fault.ts";
import { Fault, quoted } from "../outcome.ts";
import { passThrough } from "./pass-through.ts";
import { readLine } from "./read-line.ts";
import {
  encodeSenderLine,
  type FailedMessage,
  MAX_LINE_BYTES,
  parseSenderLine,
  SENDER_VERSION,
  type SenderLine,
} from "./sender-message.ts";

/** How long a connection may take to say which remote log it wants, in ms. */
const ASK_MS = 5_000;
/** Connections that have none, or none any more: beyond, the oldest goes. */
const MAX_IDLE = 16;
/** Connections to each remote log: the service needs one, and another where that one is being given up. */
const MAX_PER_LOG = 4;
/** How long an answer may take to be read by who gets nothing else, in ms. */
const LAST_WORD_MS = 1_000;
/** How long logins that are under way may take at the end, in ms. */
const LOGIN_MS = 2_000;

/** What the process says of itself, a line each: what came from elsewhere is quoted in it. */
export type Say = (line: string) => void;

/**
 * Connects the signing service with the configured remote logs, and passes bytes on: it holds the keys that log into them, and
 * knows neither the signing key nor what it passes on. Who connects names a remote log; where that is, and how it is
 * known, the sender's own configuration says.
 */
export class Sender {
  #sources: ReadonlyMap<string, RemoteLogSource> = new Map();
  readonly #say: Say;
  readonly #sockets = new Set<Socket>();
  /** Those of them that bytes are not passed to, the oldest first. */
  readonly #idle = new Set<Socket>();
  /** How many are connected to a remote log, or are about to be. */
  readonly #open = new Map<string, number>();
  readonly #serving = new Set<Promise<void>>();
  readonly #end = new AbortController();

  constructor(config: Pick<Config, "remoteLogs">, say: Say) {
    this.#say = say;
    this.configure(config);
  }

  /** What connections that come from now on are connected with; those that are there go on. */
  configure({ remoteLogs }: Pick<Config, "remoteLogs">): void {
    this.#sources = new Map(remoteLogs.map((source) => [source.name, source]));
  }

  /** Serves the connections of `server`, which MUST allow half-open ones. */
  serve(server: Server): void {
    server.on("connection", (socket: Socket) => {
      const serving = this.#serve(socket).finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    });
  }

  /** Ends every connection, within seconds. Never rejects. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOGIN_MS);
    await Promise.race([Promise.all(this.#serving), enough]);
    clearTimeout(timer);
    this.#end.abort(new Fault("remote-log-unavailable", "the sender process was told to end"));
  }

  async #serve(socket: Socket): Promise<void> {
    socket.on("error", () => undefined); // it closes then
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#idle.delete(socket);
    });
    const source = await this.#asked(socket);
    if (source === undefined) return;
    const { name } = source;
    const open = this.#open.get(name) ?? 0;
    if (open >= MAX_PER_LOG) {
      this.#fail(socket, "busy", `there are ${open} connections to this remote log`);
      return;
    }
    this.#open.set(name, open + 1);
    this.#idle.delete(socket);
    try {
      if (isLogHost(source)) await this.#passToLogHost(socket, source);
      else await this.#passToCollector(socket, source);
    } catch (error) {
      const fault = error instanceof Fault ? error : noAnswer(name, "an unexpected error", error);
      this.#say(`${name}: ${fault.message}${fault === error ? "" : `: ${quoted(String(error), 300)}`}`);
      this.#fail(socket, "remote-log-unavailable", fault.message);
    } finally {
      this.#open.set(name, (this.#open.get(name) ?? 1) - 1);
    }
  }

  /** The remote log that a connection asks for; undefined where that has been answered, or the connection is gone. */
  async #asked(socket: Socket): Promise<RemoteLogSource | undefined> {
    this.#setAside(socket);
    const timer = setTimeout(() => socket.destroy(), ASK_MS);
    const line = await readLine(socket, MAX_LINE_BYTES);
    clearTimeout(timer);
    if (socket.destroyed) return undefined;
    const asked = line === undefined ? undefined : parseSenderLine(line);
    const source = asked?.kind === "open" ? this.#sources.get(asked.log) : undefined;
    if (asked?.kind !== "open")
      this.#fail(socket, "bad-configuration", "expected a line that opens a remote log");
    else if (asked.version !== SENDER_VERSION)
      this.#fail(
        socket,
        "bad-configuration",
        `this sender speaks version ${SENDER_VERSION} of the protocol, not ${asked.version}`,
      );
    else if (source === undefined)
      this.#fail(socket, "bad-configuration", `the sender's configuration has no remote log ${asked.log}`);
    else return source;
    return undefined;
  }

  /** Counts a connection among the idle ones. */
  #setAside(socket: Socket): void {
    this.#idle.add(socket);
    const [oldest] = this.#idle;
    if (this.#idle.size > MAX_IDLE) oldest?.destroy();
  }

  /** The last word: who does not take it in time, or goes on sending, is cut off. */
  #fail(socket: Socket, code: FailedMessage["code"], reason: string): void {
    if (socket.destroyed) return;
    this.#setAside(socket);
    socket.end(`${encodeSenderLine({ kind: "failed", code, reason })}\n`);
    socket.resume(); // unread bytes would end it for the other side before the answer does
    const timer = setTimeout(() => socket.destroy(), LAST_WORD_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  async #passToLogHost(socket: Socket, source: LogHostSource): Promise<void> {
    const { name, timeoutMs } = source;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(noAnswer(name, "timed out")), timeoutMs);
    // A login that has begun comes to its end, whoever has gone meanwhile: sshd holds it against this host otherwise.
    const attempt = AbortSignal.any([late.signal, this.#end.signal]);
    const connection = await connectTo(source, attempt).finally(() => clearTimeout(timer));
    const { broken, stream } = connection;
    const giveUp = () => stream.destroy();
    broken.addEventListener("abort", giveUp, { once: true });
    try {
      if (broken.aborted) throw broken.reason;
      if (socket.destroyed) return;
      say(socket, { kind: "opened" });
      this.#say(`${name}: connected`);
      await passThrough(socket, stream, timeoutMs);
      const said = connection.said();
      const why = broken.aborted ? `: ${(broken.reason as Fault).message}` : "";
      this.#say(`${name}: the connection has ended${why}${said === undefined ? "" : `; it said ${said}`}`);
    } finally {
      broken.removeEventListener("abort", giveUp);
      connection.close();
    }
  }

  async #passToCollector(socket: Socket, source: SyslogRemoteLog): Promise<void> {
    const { SyslogConnection } = await import("../log/remote/syslog-connection.ts");
    const connection = new SyslogConnection(source);
    try {
      await connection.opened();
      if (socket.destroyed) return;
      say(socket, { kind: "opened" });
      await connection.send(limited(socket, connection));
      socket.end(`${encodeSenderLine({ kind: "sent" })}\n`);
    } finally {
      connection.close();
    }
  }
}

/** What comes from the service; from the first of it on, time counts. */
async function* limited(
  socket: Socket,
  connection: { limit(): void },
): AsyncGenerator<Buffer, void, undefined> {
  let isFirst = true;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    if (isFirst) connection.limit();
    isFirst = false;
    yield chunk as Buffer;
  }
}

function say(socket: Socket, line: SenderLine): void {
  socket.write(`${encodeSenderLine(line)}\n`);
}
