import { type Refusal, refusal } from "../outcome.ts";

/** A file name as an artefact may have it; never a path, an option or an escape sequence. */
export type FileName = string & { readonly FileName: unique symbol };
/** Who asked, as the client says: unverified. */
export type Requester = string & { readonly Requester: unique symbol };
/** Name of a key in the configuration: `repo` of `[keys.repo]`. */
export type KeyName = string & { readonly KeyName: unique symbol };

/** What SSH_ORIGINAL_COMMAND asks for. */
export type Request =
  | { readonly kind: "sign"; readonly name: FileName | undefined; readonly for: Requester | undefined }
  | { readonly kind: "batch"; readonly for: Requester | undefined }
  | { readonly kind: "key"; readonly key: KeyName | undefined }
  | { readonly kind: "status"; readonly format: "text" | "json" };

/** No request of the grammar is longer: two verbs, 64 characters of WHO, 255 of NAME, and the spaces. */
export const MAX_COMMAND_CHARACTERS = 512;

const FILE_NAME = /^[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,254}$/;
const REQUESTER = /^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/;
const KEY_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

/** The whole grammar; the name group stays empty where the text is a verb of its own. */
const SIGN = /^(?:sign(?: |$))?(?:--for (?<who>[^ ]+)(?: |$))?(?<name>[^ ]+)?$/;
const GRAMMAR = "[sign] [--for WHO] [NAME], batch [--for WHO], key [KEY] or status [--json]";
const BATCH = /^batch(?: --for (?<who>[^ ]+))?$/;

/** A stranger's text as a {@link FileName}: 1 to 255 characters, ASCII, no slash, no leading dot or dash. */
export function parseFileName(text: string): FileName | undefined {
  return FILE_NAME.test(text) ? (text as FileName) : undefined;
}

/** A stranger's text as a {@link Requester}: 1 to 64 characters of `A-Z a-z 0-9 @ . _ + -`, the first a letter or digit. */
export function parseRequester(text: string): Requester | undefined {
  return REQUESTER.test(text) ? (text as Requester) : undefined;
}

/** A text as a {@link KeyName}: 1 to 64 characters of `a-z 0-9 _ -`. */
export function parseKeyName(text: string): KeyName | undefined {
  return KEY_NAME.test(text) ? (text as KeyName) : undefined;
}

/**
 * Reads SSH_ORIGINAL_COMMAND, which the client controls to the last byte (newlines included, NUL excluded).
 * The whole text is matched before anything is split; words are separated by exactly one space and there is no quoting.
 * @param command undefined where the client gave no command
 */
export function parseRequest(command: string | undefined): Request | Refusal {
  if (command === undefined || command === "") return { kind: "sign", name: undefined, for: undefined };
  if (command.length > MAX_COMMAND_CHARACTERS)
    return refusal("bad-request", `a command is at most ${MAX_COMMAND_CHARACTERS} characters: ${GRAMMAR}`);
  const [verb, argument, ...rest] = command.split(" ");
  switch (verb) {
    case "status":
      return parseStatusRequest(command);
    case "key":
      return parseKeyRequest(argument, rest);
    case "batch":
      return parseBatchRequest(command);
    default:
      return parseSignRequest(command);
  }
}

function parseStatusRequest(command: string): Request | Refusal {
  switch (command) {
    case "status":
      return { kind: "status", format: "text" };
    case "status --json":
      return { kind: "status", format: "json" };
    default:
      return refusal("bad-request", "expected status [--json]");
  }
}

/** Whether who sends this command, be it in the wrong words, unpacks a tar archive on the other side. */
export function isBatchCommand(command: string | undefined): boolean {
  return command === "batch" || command?.startsWith("batch ") === true;
}

function parseBatchRequest(command: string): Request | Refusal {
  const groups = BATCH.exec(command)?.groups;
  if (groups === undefined)
    return refusal("bad-request", "expected batch [--for WHO]: the files' names stand in the tar archive");
  const { who } = groups;
  const requester = who === undefined ? undefined : parseRequester(who);
  return who !== undefined && requester === undefined ? badRequester() : { kind: "batch", for: requester };
}

function badRequester(): Refusal {
  return refusal(
    "bad-request",
    "WHO is 1 to 64 characters of A-Z, a-z, 0-9, @, ., _, + and -, the first a letter or digit",
  );
}

function parseKeyRequest(argument: string | undefined, rest: readonly string[]): Request | Refusal {
  if (argument === undefined) return { kind: "key", key: undefined };
  const key = parseKeyName(argument);
  return key === undefined || rest.length > 0
    ? refusal("bad-request", "expected key [KEY], KEY of a-z, 0-9, _ and -")
    : { kind: "key", key };
}

function parseSignRequest(command: string): Request | Refusal {
  const groups = SIGN.exec(command)?.groups;
  if (groups === undefined || command.endsWith(" ")) return refusal("bad-request", `expected ${GRAMMAR}`);
  const { who, name } = groups;
  const requester = who === undefined ? undefined : parseRequester(who);
  if (who !== undefined && requester === undefined) return badRequester();
  const fileName = name === undefined ? undefined : parseFileName(name);
  if (name !== undefined && fileName === undefined)
    return refusal(
      "bad-request",
      "NAME is 1 to 255 characters of A-Z, a-z, 0-9, @, ., _, + and -, the first none of . and -",
    );
  return { kind: "sign", name: fileName, for: requester };
}

/** The command that {@link parseRequest} reads as `request`: what a client sends. */
export function encodeRequest(request: Request): string {
  switch (request.kind) {
    case "status":
      return request.format === "json" ? "status --json" : "status";
    case "batch":
      return request.for === undefined ? "batch" : `batch --for ${request.for}`;
    case "key":
      return request.key === undefined ? "key" : `key ${request.key}`;
    case "sign": {
      const words = ["sign"];
      if (request.for !== undefined) words.push("--for", request.for);
      if (request.name !== undefined) words.push(request.name);
      return words.join(" ");
    }
  }
}
