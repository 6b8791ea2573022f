import { isIP } from "node:net";

/** Names that stand in certificates. Each is read before it gets near openssl, whose configuration has a syntax of its own. */

/** RFC 5280, appendix A.1: ub-common-name. */
const MAX_COMMON_NAME = 64;
/** RFC 1035 §2.3.4. */
const MAX_HOST_NAME = 253;
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const HOST_NAME = new RegExp(`^(?:${LABEL}\\.)*${LABEL}$`);
/** What a client's files may not be called: they lie beside files of these names. */
const RESERVED = new Set(["ca", "crl", "server"]);

/** Whom a server's certificate is for. */
export interface CertifiedHost {
  readonly kind: "dns" | "ip";
  readonly name: string;
}

/**
 * A host's name, in lower case, or its address, IPv6 without brackets; undefined for anything else: wildcards, names with a dot at
 * their end, addresses with a zone, what looks like an address and is none.
 */
export function parseCertifiedHost(text: string): CertifiedHost | undefined {
  if (isIP(text) !== 0) return text.includes("%") ? undefined : { kind: "ip", name: text.toLowerCase() };
  const name = text.toLowerCase();
  const isName = name.length <= MAX_HOST_NAME && HOST_NAME.test(name) && !/(?:^|\.)[0-9]+$/.test(name);
  return isName ? { kind: "dns", name } : undefined;
}

/** Name of a client, which is its certificate's subject and its files' name; undefined for anything else. */
export function parseCertifiedClient(text: string): string | undefined {
  const isName = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text) && text.length <= MAX_COMMON_NAME;
  return isName && !RESERVED.has(text) ? text : undefined;
}

/** Name of a CA; undefined for anything else. */
export function parseAuthorityName(text: string): string | undefined {
  const isName =
    /^[A-Za-z0-9](?:[A-Za-z0-9 .:,()_-]*[A-Za-z0-9.)])?$/.test(text) && text.length <= MAX_COMMON_NAME;
  return isName ? text : undefined;
}

/** The first that a subject has room for; undefined where none has. */
export function commonNameOf(hosts: readonly CertifiedHost[]): string | undefined {
  return hosts.find(({ name }) => name.length <= MAX_COMMON_NAME)?.name;
}
