import type { Readable } from "node:stream";
import { type SignedFile, signBatch } from "./batch.ts";
import type { Receipt } from "./log/remote/remote-logs.ts";
import { isRefusal, type Refusal, refusal } from "./outcome.ts";
import { rulesFor } from "./policy/admission.ts";
import type { Rule } from "./policy/rule.ts";
import type { Peer } from "./request/peer.ts";
import { isBatchCommand, type KeyName, parseRequest, type Request } from "./request/request.ts";
import { type Caller, privateRecord, refuse, type SigningHost, sign } from "./sign.ts";
import { describeStatus, encodeStatus, statusOf } from "./status.ts";

/** A call of the forced command, as sshd hands it over. */
export interface Call {
  /** The `--client` of authorized_keys. */
  readonly client: string;
  /** SSH_ORIGINAL_COMMAND: the client's, to the last byte; undefined where it gave none. */
  readonly command: string | undefined;
  /** Undefined where SSH_CONNECTION is missing or malformed: nothing is allowed from nowhere. */
  readonly peer: Peer | undefined;
}

/** What goes back: a signature under its receipt, those of a batch as they are made, text, or no. */
export type Answer =
  | { readonly kind: "signature"; readonly receipt: Receipt }
  | { readonly kind: "batch"; readonly files: AsyncIterable<SignedFile | Refusal> }
  | { readonly kind: "text"; readonly text: string }
  | Refusal;

/** Answers one call; `source` is read for signatures alone, for a batch when its files are asked for. Throws Fault where the host could not do its work. */
export async function accept(host: SigningHost, call: Call, source: Readable): Promise<Answer> {
  const { client, command, peer } = call;
  if (peer === undefined) {
    const reason = "expected the client's address in SSH_CONNECTION: sshd runs this command";
    return inTheirForm(command, await refuse(host, client, refusal("foreign-address", reason), {}, {}));
  }
  const caller = { client, peer };
  const request = parseRequest(command);
  if (isRefusal(request))
    return inTheirForm(command, await refuse(host, client, request, {}, privateRecord(caller, undefined)));
  if (request.kind === "batch") return { kind: "batch", files: signBatch(host, request, caller, source) };
  if (request.kind !== "sign") return await answerQuestion(host, caller, request);
  const receipt = await sign(host, request, caller, source);
  return isRefusal(receipt) ? receipt : { kind: "signature", receipt };
}

/** Who asks for a batch, be it in the wrong words, unpacks the answer: bsdtar takes an empty one for an empty archive. */
function inTheirForm(command: string | undefined, refused: Refusal): Answer {
  if (!isBatchCommand(command)) return refused;
  return {
    kind: "batch",
    files: (async function* () {
      yield refused;
    })(),
  };
}

type Question = Exclude<Request, { readonly kind: "sign" | "batch" }>;

async function answerQuestion(host: SigningHost, caller: Caller, request: Question): Promise<Answer> {
  const answer = await answerTo(host, caller, request);
  return isRefusal(answer)
    ? await refuse(host, caller.client, answer, {}, privateRecord(caller, undefined))
    : { kind: "text", text: answer };
}

async function answerTo(host: SigningHost, caller: Caller, request: Question): Promise<string | Refusal> {
  const rules = rulesFor(host.config.rules, caller.client, caller.peer.address);
  if (isRefusal(rules)) return rules;
  switch (request.kind) {
    case "key":
      return await publicKeys(host, rules, request.key);
    case "status": {
      const status = await statusOf(host, caller.client, rules);
      return request.format === "json" ? encodeStatus(status) : describeStatus(status);
    }
  }
}

/** The armored certificate of `wanted`, or of every key of the client's rules. */
async function publicKeys(
  host: SigningHost,
  rules: readonly Rule[],
  wanted: KeyName | undefined,
): Promise<string | Refusal> {
  const names = [...new Set(rules.map((rule) => rule.key))].filter(
    (name) => wanted === undefined || name === wanted,
  );
  if (names.length === 0) return refusal("not-permitted", "no rule of this client uses a key of that name");
  const keys = await Promise.all(names.map(host.loadKey));
  return `${keys.map((key) => key.armoredPublicKey.trimEnd()).join("\n")}\n`;
}
