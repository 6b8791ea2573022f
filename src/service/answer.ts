import { type Answer, accept } from "../accept.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../outcome.ts";
import { deliver } from "../reply.ts";
import { privateRecord, refuse, type SigningHost } from "../sign.ts";
import { failed } from "./client-door.ts";
import type { RelayConnection } from "./relay-connection.ts";
import type { RelayOutcome, RelayRequest, Report } from "./relay-message.ts";
import type { Tally } from "./tally.ts";

/** One request of a relay. */
export interface RelayCall {
  /** Whose socket it came through. */
  readonly client: string;
  readonly connection: RelayConnection;
  /** What the relay claims, all of it; or why there is no request. */
  readonly request: RelayRequest | Refusal;
}

/**
 * Answers one relay, by the same sequence as the standalone forced command. Whatever goes wrong is an outcome, and in the
 * journal; what a bug had to say is for the journal alone.
 */
export async function answerRelay(host: SigningHost, call: RelayCall, tally: Tally): Promise<RelayOutcome> {
  const began = performance.now();
  const outcome = await attempt(host, call, tally);
  const seconds = (performance.now() - began) / 1000;
  tally.ended(call.client, outcome.kind === "answered" ? "answered" : outcome.code, seconds);
  return outcome;
}

async function attempt(host: SigningHost, call: RelayCall, tally: Tally): Promise<RelayOutcome> {
  const { client } = call;
  try {
    const refused = await answer(host, call, tally);
    return refused === undefined ? { kind: "answered" } : failed(refused.code, refused.reason);
  } catch (error) {
    const isFault = error instanceof Fault;
    host.journal.error({ err: error, client }, isFault ? error.code : "internal");
    return isFault
      ? failed(error.code, error.message)
      : failed("internal", "an unexpected error; the journal has it");
  }
}

async function answer(
  host: SigningHost,
  { client, connection, request }: RelayCall,
  tally: Tally,
): Promise<Refusal | undefined> {
  if (isRefusal(request)) return await refuse(host, client, request, {}, {});
  const { command, address, sshKey, report } = request;
  if (report !== undefined) return await note(host, client, request, report);
  const call = { client, command, peer: address && { address, sshKey } };
  const given = await accept(host, call, connection.body);
  return await deliver(connection.output, counted(given, client, tally), host.config.deadlines.idleMs);
}

/** Logs what `signer pull` has refused, as its client's; the log's own bound on refusals holds. */
async function note(
  host: SigningHost,
  client: string,
  { address, sshKey }: RelayRequest,
  { code, reason }: Report,
): Promise<Refusal> {
  const record = address === undefined ? {} : privateRecord({ client, peer: { address, sshKey } }, undefined);
  return await refuse(host, client, refusal(code, reason), {}, record);
}

/** The answer, its signatures counted as they go out. */
function counted(answer: Answer, client: string, tally: Tally): Answer {
  switch (answer.kind) {
    case "signature":
      tally.signed(client, answer.receipt.entry.kind);
      return answer;
    case "batch": {
      const { files } = answer;
      const count = async function* () {
        for await (const file of files) {
          if (!isRefusal(file)) tally.signed(client, file.receipt.entry.kind);
          yield file;
        }
      };
      return { kind: "batch", files: count() };
    }
    default:
      return answer;
  }
}
