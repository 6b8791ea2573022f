import { createHash } from "node:crypto";
import { isIP } from "node:net";

/** Where a request comes from, as sshd says it. */
export interface Peer {
  /** IPv4 or IPv6 in text form, without zone; an IPv4-mapped IPv6 address as IPv4. */
  readonly address: Address;
  /** `SHA256:…` of the SSH key that logged in, as `ssh-keygen -l` prints it; undefined without `ExposeAuthInfo yes`. */
  readonly sshKey: string | undefined;
}

/** An IPv4 or IPv6 address in text form. */
export type Address = string & { readonly Address: unique symbol };

const IPV4_MAPPED = /^::ffff:(?<v4>\d{1,3}(?:\.\d{1,3}){3})$/i;
/** Far above what sshd writes for the handful of methods of one login. */
const MAX_AUTH_INFO_CHARACTERS = 65_536;

/** Text as an {@link Address}; undefined for anything else, host names included. A zone (`%eth0`) is dropped. */
export function parseAddress(text: string): Address | undefined {
  const withoutZone = text.includes(":") ? text.replace(/%[A-Za-z0-9._-]{1,32}$/, "") : text;
  const mapped = IPV4_MAPPED.exec(withoutZone)?.groups?.["v4"];
  const address = mapped ?? withoutZone;
  return isIP(address) === 0 ? undefined : (address as Address);
}

/**
 * Reads SSH_CONNECTION (sshd(8): client address, client port, server address, server port).
 * @returns the client's address; undefined where the text has another form, so that the caller refuses
 */
export function parseConnection(connection: string | undefined): Address | undefined {
  const fields = connection?.split(" ") ?? [];
  const [client, clientPort, server, serverPort] = fields;
  if (fields.length !== 4 || client === undefined || server === undefined) return undefined;
  if (!isPort(clientPort) || !isPort(serverPort) || parseAddress(server) === undefined) return undefined;
  return parseAddress(client);
}

/**
 * Reads the file that SSH_USER_AUTH names (sshd_config(5), ExposeAuthInfo): one line for each method,
 * `publickey ALGORITHM BASE64`.
 * @returns the fingerprint of the last public key; undefined where there is none or the text has another form
 */
export function parseAuthInfo(text: string): string | undefined {
  if (text.length > MAX_AUTH_INFO_CHARACTERS) return undefined;
  const keys = text
    .split("\n")
    .map((line) => /^publickey [A-Za-z0-9@.-]+ (?<blob>[A-Za-z0-9+/]+={0,2})$/.exec(line)?.groups?.["blob"])
    .filter((blob) => blob !== undefined);
  const blob = keys.at(-1);
  if (blob === undefined) return undefined;
  const digest = createHash("sha256").update(Buffer.from(blob, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** Text as a key's fingerprint, `SHA256:` and 43 characters of base64, as {@link parseAuthInfo} returns it; undefined for anything else. */
export function parseKeyFingerprint(text: string): string | undefined {
  return /^SHA256:[A-Za-z0-9+/]{43}$/.test(text) ? text : undefined;
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535;
}
