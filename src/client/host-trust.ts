import { createHash } from "node:crypto";
import type { HostKey } from "../config/setting.ts";
import { Fault, quoted } from "../outcome.ts";
import type { KnownHost } from "./known-hosts.ts";

/** By what a host is known. */
export type HostTrust =
  | { readonly kind: "pinned"; readonly hostKey: HostKey }
  | ({ readonly kind: "known"; readonly knownAs: string } & KnownHost);

/**
 * Why the key that a host shows is not believed, and what to do about it; undefined: it is.
 * @param blob the key, whole (RFC 4253 §6.6); whoever answers chose it
 */
export function judgeHostKey(blob: Uint8Array, host: string, trust: HostTrust): Fault | undefined {
  const is = (key: HostKey) => Buffer.compare(key.blob, blob) === 0;
  const shown = `${quoted(host)} shows the host key ${fingerprint(blob)}`;
  const distrust = (why: string) => new Fault("host-not-trusted", `${shown}, ${why}`);
  if (trust.kind === "pinned") {
    return is(trust.hostKey)
      ? undefined
      : distrust(
          `not the one in host_key, ${fingerprint(trust.hostKey.blob)}: ask its administrator before you change that`,
        );
  }
  if (trust.revoked.some(is))
    return distrust("which known_hosts revokes: do not use it, ask its administrator");
  if (trust.trusted.some(is)) return undefined;
  if (trust.trusted.length > 0)
    return distrust(
      `not the one in known_hosts: ask its administrator, and only then remove the old one (ssh-keygen -R ${quoted(trust.knownAs)})`,
    );
  if (trust.isCertified)
    return distrust(
      'and known_hosts knows it by a certificate: set ssh_command = ["ssh"], which checks those',
    );
  return distrust(
    "which nothing vouches for: compare it on the host (ssh-keygen -l), then set host_key or log in once with ssh",
  );
}

/** As ssh-keygen -l writes it. */
function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}
