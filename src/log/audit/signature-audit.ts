import { join } from "node:path";
import { parseArtefactName } from "../../artefact/artefact-name.ts";
import { startMessageHash } from "../../openpgp/message-hash.ts";
import { isPacketProblem } from "../../openpgp/packet-problem.ts";
import { signatureVerifies } from "../../openpgp/verification.ts";
import { quoted } from "../../outcome.ts";
import type { SignedEntry } from "../log-entry.ts";
import type { Finding, FindingCode } from "./finding.ts";
import type { ReadLog } from "./log-pass.ts";
import type { OurKeys } from "./our-keys.ts";
import type { FoundSignature } from "./published-tree.ts";
import { isUnreadable, type UnreadableFile, withRegularFile } from "./regular-file.ts";

/** What became of one signature. */
export interface AuditedSignature {
  readonly found: FoundSignature;
  /** Its entry; undefined where the log has none of just these bytes. */
  readonly entry: SignedEntry | undefined;
  /** Empty where all agrees. */
  readonly findings: readonly Finding[];
}

/** What reading a file once tells about it and a signature. */
interface ReadArtefact {
  readonly size: number;
  readonly sha512: string;
  /** Whether the signature is the key's over the file. */
  readonly verifies: boolean;
}

/** Holds signatures of a tree against the log and the files beside them. A file that several names share is read once. */
export class SignatureAudit {
  readonly #folder: string;
  readonly #log: ReadLog;
  readonly #keys: OurKeys;
  readonly #now: Date;
  readonly #read = new Map<string, ReadArtefact>();

  constructor(folder: string, log: ReadLog, keys: OurKeys, now: Date) {
    this.#folder = folder;
    this.#log = log;
    this.#keys = keys;
    this.#now = now;
  }

  /** Checks one signature. Never throws for what is in the tree. */
  async check(found: FoundSignature): Promise<AuditedSignature> {
    const findings: Finding[] = [];
    const seq = found.notations.tree.size;
    const report = (code: FindingCode, what: string) =>
      void findings.push({ code, file: found.file, seq, what });

    const artefact = this.#readArtefact(found);
    const entry = this.#entryOf(found);
    const claim =
      isUnreadable(artefact) || !artefact.verifies ? "" : "; our key made it over the file beside it";
    if (typeof entry !== "object") report(entry, `${this.#absence(found, entry)}${claim}`);
    if (isUnreadable(artefact)) {
      report(artefact.missing ? "no-file" : "unreadable", `the file that it is for: ${artefact.reason}`);
    } else if (typeof entry === "object" && artefact.size !== entry.size) {
      report("wrong-file", `the file has ${artefact.size} bytes, the one that was signed ${entry.size}`);
    } else if (typeof entry === "object" && artefact.sha512 !== entry.sha512) {
      report("wrong-file", "the file is not the one that was signed: its sha-512 differs from the entry's");
    } else if (!artefact.verifies) {
      report("bad-signature", "it is not our key's signature over the file beside it");
    }
    const { name } = found.notations;
    if (name !== undefined && !fitsName(name, found.name))
      report("wrong-name", `it was made for the name ${quoted(name, 255)}`);
    const { signature } = found;
    const objection = await this.#keys.objection(signature.issuerFingerprint, signature.createdAt);
    if (objection !== undefined)
      report("key-unusable", `the key could not make it then: ${quoted(objection, 200)}`);
    const { createdAt, expiresAfterSeconds } = signature;
    if (expiresAfterSeconds !== undefined && !found.backup) {
      const expires = new Date(createdAt.getTime() + expiresAfterSeconds * 1000);
      if (expires <= this.#now)
        report("expired", `it expired at ${expires.toISOString().replace(".000", "")}`);
    }
    return { found, entry: typeof entry === "object" ? entry : undefined, findings };
  }

  /** The entry that holds just this signature, or why there is none. */
  #entryOf({ notations, packet }: FoundSignature): SignedEntry | "not-in-log" | "other-log" {
    const { size, root } = notations.tree;
    const ours = this.#log.roots.get(size);
    if (ours !== undefined && Buffer.compare(ours, root) !== 0) return "other-log";
    const entry = this.#log.entries.get(size);
    const same = entry?.kind === "signed" && Buffer.from(entry.signature, "base64").equals(packet);
    return same ? entry : "not-in-log";
  }

  #absence({ notations }: FoundSignature, code: "not-in-log" | "other-log"): string {
    const { size } = notations.tree;
    if (code === "other-log")
      return `it was made after ${size} entries that are not the first ${size} of this log`;
    return this.#log.entries.has(size)
      ? `it says that it is entry ${size}, which is another one`
      : `it says that it is entry ${size}, and the log has ${this.#log.size} entries: one of the two is old`;
  }

  #readArtefact(found: FoundSignature): ReadArtefact | UnreadableFile {
    const { signature, packet } = found;
    const key = this.#keys.publicKey(signature.issuerFingerprint);
    return withRegularFile(join(this.#folder, found.artefact), ({ identity, chunks }) => {
      const asked = `${identity} ${packet.toString("base64")}`;
      const known = this.#read.get(asked);
      if (known !== undefined) return known;
      const message = startMessageHash(isPacketProblem(key) ? [] : [key]);
      let size = 0;
      for (const chunk of chunks()) {
        message.update(chunk);
        size += chunk.length;
      }
      const sha512 = message.sha512().digest("hex");
      const verifies = !isPacketProblem(key) && signatureVerifies(key, message, signature);
      const read = { size, sha512, verifies };
      this.#read.set(asked, read);
      return read;
    });
  }
}

/** Whether a file of this name may be the one that was signed as `signed`: `foo.db` is another name of `foo.db.tar.gz`. */
export function fitsName(signed: string, file: string): boolean {
  if (signed === file) return true;
  const [one, other] = [parseArtefactName(signed), parseArtefactName(file)];
  if (one === undefined || other === undefined || one.type === "iso") return false;
  const bare = `${one.repository}.${one.type}`;
  return one.repository === other.repository && one.type === other.type && (signed === bare || file === bare);
}
