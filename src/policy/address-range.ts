import { BlockList, isIP } from "node:net";
import { type Address, parseAddress } from "../request/peer.ts";

/** One address, or all that share a prefix: `192.0.2.10`, `2001:db8::/64`. */
export interface AddressRange {
  readonly address: Address;
  /** 0 to 32 for IPv4, 0 to 128 for IPv6. */
  readonly prefixLength: number;
}

/** Text as an {@link AddressRange}; undefined for anything else, host names and zones included. */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [addressText = "", prefix, ...rest] = text.split("/");
  if (rest.length > 0 || addressText.includes("%")) return undefined;
  const address = parseAddress(addressText);
  if (address === undefined) return undefined;
  const maxPrefix = isIP(address) === 4 ? 32 : 128;
  if (prefix === undefined) return { address, prefixLength: maxPrefix };
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(prefix) || Number(prefix) > maxPrefix) return undefined;
  return { address, prefixLength: Number(prefix) };
}

/** The text that {@link parseAddressRange} reads as `range`. */
export function encodeAddressRange(range: AddressRange): string {
  const isWhole = range.prefixLength === (isIP(range.address) === 4 ? 32 : 128);
  return isWhole ? range.address : `${range.address}/${range.prefixLength}`;
}

/** Whether `address` lies in one of `ranges`; an IPv4 address never does in an IPv6 range, `::/0` included. */
export function isInRanges(ranges: readonly AddressRange[], address: Address): boolean {
  const ofFamily = ranges.filter((range) => family(range.address) === family(address));
  const list = new BlockList();
  for (const range of ofFamily) list.addSubnet(range.address, range.prefixLength, family(range.address));
  return list.check(address, family(address));
}

function family(address: Address): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}
