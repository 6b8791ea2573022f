import { DEFAULT_CONFIG_FILE } from "../config/config.ts";
import { type AddressRange, encodeAddressRange } from "../policy/address-range.ts";

/** The path that a package installs the executable under. */
const EXECUTABLE = "/usr/bin/signer";

/**
 * The line of authorized_keys (sshd(8)) that lets one SSH key in as `client`. `restrict` turns everything off that sshd
 * could do besides, and what later versions learn.
 * @param from addresses of the client's rules; empty: the line gets a placeholder to fill in
 */
export function authorizedKeysLine(
  client: string,
  from: readonly AddressRange[],
  configFile: string,
): string {
  const addresses = [...new Set(from.map(encodeAddressRange))].join(",") || "ADDRESS";
  const config = configFile === DEFAULT_CONFIG_FILE ? "" : ` --config ${configFile}`;
  return `restrict,from="${addresses}",command="${EXECUTABLE} accept --client ${client}${config}" ssh-ed25519 PUBLIC-KEY ${client}`;
}
