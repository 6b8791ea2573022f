import { generateKeyPairSync } from "node:crypto";
import { signCheckpoint } from "../../../src/log/checkpoint.ts";
import { cosign, type Witness } from "../../../src/log/cosignature.ts";
import type { LedgerTransaction } from "../../../src/log/ledger-transaction.ts";
import { encodeLogEntry } from "../../../src/log/log-entry.ts";
import { treeRoot } from "../../../src/log/merkle.ts";
import { inclusionProof } from "../../../src/log/merkle-proof.ts";
import { encodeTlogProof } from "../../../src/log/proof/tlog-proof.ts";
import { encodeVerifierKey, type NoteSigner, verifierKey } from "../../../src/log/signed-note.ts";
import { newWitness as newWitnessOf } from "../../support/log-host.ts";
import { at, START } from "../fixture.ts";
import { MemoryTree } from "../memory-tree.ts";
import { ORIGIN, signatureRecord } from "../signature-record.ts";

/** A key pair of a log. */
export function newLogSigner(name = ORIGIN): NoteSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { verifier: verifierKey(name, publicKey), privateKey };
}

/** A key pair of a witness. */
export function newWitness(name = "witness.example.net/w1"): Witness {
  return newWitnessOf(name);
}

/** A log in memory: its first entry `started`, all others `signed`, each signature with the claims that are true there. */
export class SampleLog {
  readonly signer = newLogSigner();
  readonly tree = new MemoryTree();
  readonly lines: string[] = [];

  constructor(size: number) {
    const { verifier } = this.signer;
    const time = START.toISOString();
    this.#append(
      encodeLogEntry({
        seq: 0,
        time,
        kind: "started",
        origin: ORIGIN,
        verifier: encodeVerifierKey(verifier),
      }),
    );
    while (this.lines.length < size) this.#append(this.#signedLine(this.lines.length));
  }

  #append(line: string): void {
    this.lines.push(line);
    this.tree.append(Buffer.from(line));
  }

  #signedLine(seq: number): string {
    const time = at(seq * 1000);
    const before = { size: seq, root: this.root(seq), time } as LedgerTransaction;
    const { fields } = signatureRecord(before, { content: `artefact ${seq}` });
    return encodeLogEntry({ ...fields, seq, time: time.toISOString() });
  }

  root(size: number): Uint8Array {
    return treeRoot(size, this.tree.read);
  }

  /** The checkpoint of the first `size` entries, cosigned by each witness. */
  checkpoint(size: number, ...witnesses: readonly Witness[]): string {
    const note = signCheckpoint({ size, root: this.root(size) }, this.signer);
    return witnesses.reduce((cosigned, witness) => cosign(cosigned, witness, at(size * 1000)), note);
  }

  /** The tlog-proof of an entry for the first `size` entries. */
  proof(index: number, size: number, ...witnesses: readonly Witness[]): string {
    return encodeTlogProof({
      extra: Buffer.from(this.lines[index] ?? ""),
      index,
      path: inclusionProof(index, size, this.tree.read),
      checkpoint: this.checkpoint(size, ...witnesses),
    });
  }
}
