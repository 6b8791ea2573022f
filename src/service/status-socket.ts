import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Fault } from "../outcome.ts";
import type { HostState } from "./host-state.ts";
import { MAX_STATUS_CHARACTERS, parseStatusDocument } from "./status-document.ts";

/**
 * The socket on which a running service says how it is: who connects gets one document, and the end. It is in the state
 * directory, which is the service's own in every set-up, with a mode of 0600: root and the service's account can ask.
 */

/** Connections at once; one more is closed. */
const MAX_CONNECTIONS = 8;
/** How long one may take to read its document, in ms. */
const READ_MS = 2_000;
/** How long the document may be waited for, in ms. */
const ANSWER_MS = 10_000;
/** How often a connection that was one too many is tried again, and how long after, in ms. */
const ATTEMPTS = 40;
const RETRY_MS = 100;

/** Where the service of a state directory says how it is. */
export function statusSocket(stateDirectory: string): string {
  return join(stateDirectory, "status.sock");
}

/**
 * The service's end. Nothing is read of a connection; it holds a document at most, and not for long.
 * @param document makes the document; asked once for all that connect meanwhile. Where it rejects, the connection just ends
 */
export function statusServer(document: () => Promise<string>): Server {
  let underWay: Promise<string> | undefined;
  const shared = (): Promise<string> => {
    underWay ??= document().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const timer = setTimeout(() => socket.destroy(), READ_MS);
    socket.on("close", () => clearTimeout(timer));
    shared().then(
      (text) => socket.end(text, () => socket.destroy()),
      () => socket.destroy(),
    );
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

/**
 * What the service of a state directory says; undefined where none runs. Faults: `service-unavailable` where what answers is
 * not a service of this version, or none that is well; `busy` where too many ask.
 */
export async function askService(stateDirectory: string): Promise<HostState | undefined> {
  const path = statusSocket(stateDirectory);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    if (attempt > 0) await delay(RETRY_MS);
    const answer = await ask(path);
    if (answer === "nobody") return undefined;
    if (answer === "nothing") continue;
    const state = parseStatusDocument(answer);
    if (state !== undefined) return state;
    throw new Fault("service-unavailable", `the service at ${path} is of another version: restart it`);
  }
  throw new Fault("busy", `the service at ${path} gives no answer: others ask it all the time`);
}

/** The whole text that comes; `nothing` where the connection ends before, `nobody` where nobody listens. */
async function ask(path: string): Promise<string> {
  const socket = connect(path);
  const timer = setTimeout(() => socket.destroy(new Error("timed out")), ANSWER_MS);
  try {
    const text = await readAll(socket);
    return text.endsWith("\n") ? text : "nothing";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ECONNREFUSED") return "nobody";
    if (code === "ECONNRESET" || code === "EPIPE" || code === "EAGAIN") return "nothing";
    const reason = `the service at ${path} cannot be asked: ${code ?? message}`;
    throw new Fault("service-unavailable", reason, { cause: error });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_STATUS_CHARACTERS) return "too much\n"; // is no document
  }
  return Buffer.concat(chunks).toString("latin1");
}
