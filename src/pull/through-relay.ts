import { Readable, Writable } from "node:stream";
import { MAX_ANSWER_BYTES } from "../exchange/answer.ts";
import type { AnnouncedFile } from "../exchange/notification.ts";
import { Fault, isRefusalCode, type Refusal, refusal } from "../outcome.ts";
import type { Peer } from "../request/peer.ts";
import { encodeRequest } from "../request/request.ts";
import { relay } from "../service/relay.ts";
import type { RelayOutcome, RelayRequest } from "../service/relay-message.ts";
import type { NotificationRefusal } from "./judgement.ts";
import type { Signing } from "./signing.ts";

/** Split mode: the signing service behind a client's socket signs, as for the forced command. Neither key nor log is here. */
export class ThroughRelay implements Signing {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async sign(
    { name, for: who }: AnnouncedFile,
    peer: Peer,
    file: Readable,
    giveUp: AbortSignal,
  ): Promise<Uint8Array | Refusal> {
    const command = encodeRequest({ kind: "sign", name, for: who });
    const { outcome, answer } = await this.#ask({ ...peer, command }, file, giveUp);
    if (outcome.kind === "failed") return refusedOr(outcome);
    if (answer.byteLength <= MAX_ANSWER_BYTES) return answer;
    throw new Fault(
      "service-unavailable",
      "the signing service answered with something larger than a signature",
    );
  }

  async report({ code, reason }: NotificationRefusal, peer: Peer, giveUp: AbortSignal): Promise<void> {
    const request = { ...peer, command: undefined, report: { code, reason } };
    const { outcome } = await this.#ask(request, Readable.from([]), giveUp);
    if (outcome.kind === "failed" && outcome.code === code) return;
    const said = outcome.kind === "failed" ? `${outcome.code}: ${outcome.reason}` : "an answer";
    throw new Fault("service-unavailable", `the signing service did not log a refusal, but said ${said}`);
  }

  async #ask(
    request: RelayRequest,
    stdin: Readable,
    signal: AbortSignal,
  ): Promise<{ readonly outcome: RelayOutcome; readonly answer: Buffer }> {
    const pieces: Uint8Array[] = [];
    const stdout = new Writable({
      write: (chunk: Uint8Array, _encoding, done) => {
        pieces.push(chunk);
        done();
      },
    });
    try {
      const outcome = await relay(this.#socketPath, request, { stdin, stdout, signal });
      return { outcome, answer: Buffer.concat(pieces) };
    } catch (error) {
      throw stdin.errored ?? error; // the service was lost because the file was
    }
  }
}

/** A refusal, where the service refused; what it could not do, or what went wrong between us, is thrown. */
function refusedOr({ code, reason }: RelayOutcome & { readonly kind: "failed" }): Refusal {
  if (isRefusalCode(code)) return refusal(code, reason);
  if (code === "internal") throw new Error(`the signing service failed: ${reason}`);
  throw new Fault(code, reason);
}
