import { hash } from "node:crypto";
import {
  MAX_NOTIFICATION_BYTES,
  type Notification,
  parseNotification,
  splitNotification,
} from "../exchange/notification.ts";
import { NOTIFICATION_NAMESPACE, sshSignatureObjection } from "../exchange/ssh-signature.ts";
import { type Refusal, type RefusalCode, refusal } from "../outcome.ts";
import type { SourceState } from "./source-state.ts";

/** What a document is that stands where a source's notification should. */
export type Judgement =
  /** It comes after all that were seen. `sha256` is of its line, 64 hex digits. */
  | { readonly kind: "news"; readonly notification: Notification; readonly sha256: string }
  /** The newest one that was seen. */
  | { readonly kind: "known"; readonly notification: Notification }
  /** None that is taken, and why. `sha256` is of the whole document; `isLogged`: it was refused before, and the log has it. */
  | {
      readonly kind: "bad";
      readonly refusal: NotificationRefusal;
      readonly sha256: string;
      readonly isLogged: boolean;
    };

export interface NotificationRefusal extends Refusal {
  readonly code: NotificationCode;
}

type NotificationCode = Extract<RefusalCode, "bad-notification" | "notification-rolled-back">;

/**
 * Judges a document against what is remembered. What was signed is what counts, not how the signature is wrapped: the same line is
 * the same notification.
 * @param document at most one byte more than a notification may have. Controlled by: whoever answers as the server
 * @param publicKey blob of the source's key
 */
export function judgeNotification(
  document: Uint8Array,
  publicKey: Uint8Array,
  { newest, refused }: SourceState,
): Judgement {
  const bad = (code: NotificationCode, reason: string): Judgement => {
    const sha256 = hash("sha256", document, "hex");
    return {
      kind: "bad",
      refusal: { ...refusal(code, reason), code },
      sha256,
      isLogged: refused.includes(sha256),
    };
  };
  if (document.byteLength > MAX_NOTIFICATION_BYTES)
    return bad("bad-notification", `the notification has more than ${MAX_NOTIFICATION_BYTES / 1024} KiB`);
  const parts = splitNotification(document);
  if (parts === undefined)
    return bad("bad-notification", "the notification is not acceptable: it is not signed");
  const line = Buffer.from(parts.line, "latin1");
  const objection = sshSignatureObjection(parts.signature, line, {
    publicKey,
    namespace: NOTIFICATION_NAMESPACE,
  });
  if (objection !== undefined)
    return bad("bad-notification", `the notification is not acceptable: ${objection}`);
  const notification = parseNotification(parts.line);
  if (notification === undefined)
    return bad(
      "bad-notification",
      "the notification is signed, and none of ours: are both sides of one version?",
    );
  const sha256 = hash("sha256", line, "hex");
  const { seq } = notification;
  if (newest === undefined || seq > newest.seq) return { kind: "news", notification, sha256 };
  if (seq < newest.seq)
    return bad("notification-rolled-back", `notification ${seq} was shown after ${newest.seq}`);
  if (sha256 === newest.sha256) return { kind: "known", notification };
  return bad("notification-rolled-back", `there is another notification with the number ${seq}`);
}
