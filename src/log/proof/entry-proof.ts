import { Fault } from "../../outcome.ts";
import { nodeReader } from "../log-head.ts";
import type { LogReader } from "../log-reader.ts";
import { hashLeaf } from "../merkle.ts";
import { inclusionProof, verifyInclusion } from "../merkle-proof.ts";
import { encodeTlogProof } from "./tlog-proof.ts";
import { type VouchedHead, vouchedHead } from "./vouched-head.ts";

/** A proof that an entry is in the log. */
export interface EntryProof {
  /** A C2SP tlog-proof; its extra data is the entry's line. */
  readonly text: string;
  readonly head: VouchedHead;
}

/**
 * Proves that entry `seq`, which MUST be below the log's size, is in the log: O(log n) reads, and one Ed25519 verification for
 * each witness. Fault `log-broken` where the log's entry, nodes and checkpoint do not agree: what does not verify is never written.
 */
export function proveEntry(reader: LogReader, seq: number): EntryProof {
  const head = vouchedHead(reader, reader.heldVerifier() ?? reader.statedVerifier(), seq);
  const extra = Buffer.from(reader.line(seq) ?? "");
  if (head.size <= seq || head.size > reader.size) throw contradiction(seq);
  const path = inclusionProof(seq, head.size, nodeReader(reader.database));
  if (!verifyInclusion(hashLeaf(extra), seq, head.size, path, head.root)) throw contradiction(seq);
  return { text: encodeTlogProof({ extra, index: seq, path, checkpoint: head.note }), head };
}

function contradiction(seq: number): Fault {
  return new Fault(
    "log-broken",
    `entry ${seq}, the tree and the checkpoint do not agree; \`signer-log verify\` says more`,
  );
}
