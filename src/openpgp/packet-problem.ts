/** Why bytes are not the OpenPGP packet, or the armor, that was expected. */
export type PacketProblemCode =
  /** They end before the format does. */
  | "truncated"
  /** Something follows the end of the format. */
  | "trailing-bytes"
  /** No packet header, or one of partial or indeterminate length, which only streams have. */
  | "bad-header"
  /** Not ASCII armor of the expected kind. */
  | "bad-armor"
  /** A packet of another kind, or none of the expected one. */
  | "unexpected-packet"
  | "unsupported-version"
  | "unsupported-type"
  | "unsupported-algorithm"
  | "unsupported-hash"
  /** The secret key is protected by a passphrase. */
  | "encrypted"
  /** The secret key is not in the file: taken offline, or kept on a smartcard. */
  | "no-secret"
  /** The passphrase given does not open the secret key. */
  | "wrong-passphrase"
  /** No user ID of the key has a valid self-signature. */
  | "no-self-signature"
  /** Numbers that do not make a key, or a checksum that contradicts them. */
  | "bad-key-material"
  /** Well-formed perhaps, but not in the one form that this program writes. */
  | "not-canonical";

/** What a parser of this folder returns instead of a value. */
export interface PacketProblem {
  readonly kind: "packet-problem";
  readonly problem: PacketProblemCode;
  /** One line for people, lower case, without a stranger's text. */
  readonly reason: string;
}

/** Thrown inside a parser only; {@link orProblem} turns it into the value that callers see. */
export class MalformedPacket extends Error {
  readonly problem: PacketProblemCode;

  constructor(problem: PacketProblemCode, reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "MalformedPacket";
    this.problem = problem;
  }
}

/** Runs a parser: its value, or the problem that it threw as {@link MalformedPacket}. */
export function orProblem<Value>(parse: () => Value): Value | PacketProblem {
  try {
    return parse();
  } catch (error) {
    return asProblem(error);
  }
}

/** {@link orProblem} for a parser that takes its time. */
export async function eventuallyOrProblem<Value>(
  parse: () => Promise<Value>,
): Promise<Value | PacketProblem> {
  try {
    return await parse();
  } catch (error) {
    return asProblem(error);
  }
}

function asProblem(error: unknown): PacketProblem {
  if (!(error instanceof MalformedPacket)) throw error;
  return { kind: "packet-problem", problem: error.problem, reason: error.message };
}

/** Whether a parser's answer is a {@link PacketProblem}. */
export function isPacketProblem(value: object): value is PacketProblem {
  return (value as { kind?: unknown }).kind === "packet-problem";
}
