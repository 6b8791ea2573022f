/** What an audit can find. */
export type FindingCode =
  /** The log itself contradicts its checkpoint, its witness or itself: nothing was compared with it. */
  | "log-broken"
  /** A witness that should have cosigned the log did not. */
  | "not-cosigned"
  /** A file or folder of the tree could not be looked at. */
  | "unreadable"
  /** A `.sig` beside what is signed here that is no signature. */
  | "no-signature"
  /** A signature that names one of our keys and was not made by this program. */
  | "made-elsewhere"
  /** Made for a log that continues other entries than these. */
  | "other-log"
  /** The log has no such signature. */
  | "not-in-log"
  /** The signature is there and the file that it is for is not. */
  | "no-file"
  /** The file is not the one that was signed. */
  | "wrong-file"
  /** The file has another name than the one that was signed. */
  | "wrong-name"
  /** The OpenPGP signature is not one of the key over the file. */
  | "bad-signature"
  /** The key could not sign when the signature says that it did. */
  | "key-unusable"
  /** The signature has expired. */
  | "expired"
  /** The tree holds an older state of the name than the log's newest. */
  | "outdated"
  /** The tree holds nothing of the name, which the log has. */
  | "missing";

/** One thing that does not agree. */
export interface Finding {
  readonly code: FindingCode;
  /** Path below the tree, as the file system has it: any text. Undefined where it is about no file. */
  readonly file: string | undefined;
  /** The entry it is about; undefined where it is about none. */
  readonly seq: number | undefined;
  /** One line, lower case; a stranger's text in it only quoted. */
  readonly what: string;
}
