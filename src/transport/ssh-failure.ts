const SOCKET_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was lost",
  EPIPE: "the connection was lost",
  ENOTFOUND: "its name has no address",
  EAI_AGAIN: "its name cannot be looked up",
  EHOSTUNREACH: "there is no route to it",
  ENETUNREACH: "there is no route to it",
  ETIMEDOUT: "timed out",
};

/** Why a connection through ssh2 failed. */
export type SshFailure =
  | { readonly kind: "connection"; readonly reason: string }
  | { readonly kind: "login" }
  | { readonly kind: "host-key" };

/** What an error of ssh2 means, without the other side's words. */
export function sshFailure(error: Error & { level?: string; code?: unknown }): SshFailure {
  // Without a common type of host key the other side cannot show the expected one.
  if (/no matching host key/.test(error.message)) return { kind: "host-key" };
  switch (error.level) {
    case "client-socket":
      return {
        kind: "connection",
        reason: SOCKET_REASONS[String(error.code)] ?? "the connection failed",
      };
    case "client-authentication":
      return { kind: "login" };
    case "client-timeout":
      return { kind: "connection", reason: "the connection was lost" };
    case undefined:
      // The other side's SSH_MSG_DISCONNECT, by its reason (RFC 4253 §11.1). OpenSSH has reason 2 and words for this.
      if (/too many authentication failures/i.test(error.message)) return { kind: "login" };
      return {
        kind: "connection",
        reason:
          typeof error.code === "number" ? "it ended the connection" : "it does not speak SSH as expected",
      };
    default:
      return { kind: "connection", reason: "it does not speak SSH as expected" };
  }
}
