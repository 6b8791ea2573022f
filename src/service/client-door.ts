import { createServer, type Server, type Socket } from "node:net";
import { type Code, Fault, isRefusal, type Refusal } from "../outcome.ts";
import { encodeFrame } from "./frame.ts";
import { RelayConnection } from "./relay-connection.ts";
import { encodeRelayOutcome, type RelayOutcome, type RelayRequest } from "./relay-message.ts";
import { Turns } from "./turns.ts";

/** What one client may take of the service, so that the others are served whatever it does. */
export interface DoorBounds {
  readonly maxConnections: number;
  /** Requests that are worked on at the same time. */
  readonly maxActive: number;
  /** Longest wait for a request, and for a turn, in ms. */
  readonly idleMs: number;
}

/** Who answers what comes through the door. */
export interface Answerer {
  /** Answers a request, or notes down why there is none. MUST NOT throw. */
  answer(connection: RelayConnection, request: RelayRequest | Refusal): Promise<RelayOutcome>;
  /** A connection was turned away, as one too many. */
  turnedAway(): void;
}

/**
 * The socket of one client, which is how the service knows who asks: each has one of its own, and a group of its own that may
 * connect. Holds no more than the bounds say, whatever comes.
 */
export class ClientDoor {
  readonly server: Server;
  readonly #bounds: () => DoorBounds;
  readonly #answerer: Answerer;
  readonly #turns: Turns;
  readonly #connections = new Map<RelayConnection, Promise<void>>();
  #stopping: Fault | undefined;

  /** `bounds` is asked at each step, so that they can change. */
  constructor(bounds: () => DoorBounds, answerer: Answerer) {
    this.#bounds = bounds;
    this.#answerer = answerer;
    this.#turns = new Turns(() => bounds().maxActive);
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.#enter(socket));
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Of these, requests that wait for a turn. */
  get waiting(): number {
    return this.#turns.waiting;
  }

  /** Takes no more connections. Resolves when those that are there have had their answers. */
  async close(): Promise<void> {
    this.server.close();
    await Promise.all(this.#connections.values());
  }

  /** Ends what still waits for bytes or for a turn, with `fault`; what has all its bytes goes on to its end. */
  abort(fault: Fault): void {
    this.#stopping = fault;
    this.#turns.abandon();
    for (const connection of this.#connections.keys()) connection.abort(fault);
  }

  #enter(socket: Socket): void {
    if (this.#connections.size >= this.#bounds().maxConnections) {
      this.#answerer.turnedAway();
      turnAway(socket, failed("busy", "this client has too many connections open; try again later"));
      return;
    }
    const connection = new RelayConnection(socket);
    this.#connections.set(
      connection,
      this.#serve(connection).finally(() => this.#connections.delete(connection)),
    );
  }

  async #serve(connection: RelayConnection): Promise<void> {
    await connection.finish(await this.#outcomeOf(connection));
  }

  async #outcomeOf(connection: RelayConnection): Promise<RelayOutcome> {
    try {
      return await this.#inTurn(connection, await connection.request(this.#bounds().idleMs));
    } catch (error) {
      if (error instanceof Fault) return failed(error.code, error.message); // aborted before there was a request
      throw error;
    }
  }

  async #inTurn(connection: RelayConnection, request: RelayRequest | Refusal): Promise<RelayOutcome> {
    if (isRefusal(request)) return await this.#answerer.answer(connection, request);
    const endTurn = await this.#turns.take(this.#bounds().idleMs);
    try {
      if (this.#stopping !== undefined) throw this.#stopping;
      if (endTurn === undefined)
        return failed("busy", "other requests of this client are not done; try again later");
      return await this.#answerer.answer(connection, request);
    } finally {
      endTurn?.();
    }
  }
}

/** An outcome that is no answer. */
export function failed(code: Code, reason: string): RelayOutcome {
  return { kind: "failed", code, reason };
}

/** Says no without reading a byte: a relay sends nothing but its request before it is told to. */
function turnAway(socket: Socket, outcome: RelayOutcome): void {
  socket.on("error", () => undefined);
  socket.end(encodeFrame("outcome", encodeRelayOutcome(outcome)), () => socket.destroy());
}
