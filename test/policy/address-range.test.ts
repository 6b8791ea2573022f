import { describe, expect, it } from "vitest";
import { encodeAddressRange, isInRanges, parseAddressRange } from "../../src/policy/address-range.ts";
import { parseAddress } from "../../src/request/peer.ts";

function isIn(range: string, address: string): boolean {
  const [parsedRange, parsedAddress] = [parseAddressRange(range), parseAddress(address)];
  if (parsedRange === undefined || parsedAddress === undefined) throw new Error(`${range} ${address}`);
  return isInRanges([parsedRange], parsedAddress);
}

describe("isInRanges", () => {
  it.each([
    ["192.0.2.10", "192.0.2.10"],
    ["192.0.2.0/24", "192.0.2.255"],
    ["0.0.0.0/0", "203.0.113.9"],
    ["2001:db8::/64", "2001:db8::ffff:1"],
    ["2001:db8::1", "2001:db8:0:0::1"],
    ["::/0", "2001:db8::1"],
    ["192.0.2.10", "::ffff:192.0.2.10"],
  ])("%s holds %s", (range, address) => {
    expect(isIn(range, address)).toBe(true);
  });

  it.each([
    ["192.0.2.10", "192.0.2.11"],
    ["192.0.2.0/25", "192.0.2.128"],
    ["0.0.0.0/0", "2001:db8::1"],
    ["2001:db8::/64", "2001:db8:0:1::1"],
    ["::/0", "203.0.113.9"],
  ])("%s does not hold %s", (range, address) => {
    expect(isIn(range, address)).toBe(false);
  });

  it("holds nothing where there is no range", () => {
    const address = parseAddress("192.0.2.1");
    expect(address && isInRanges([], address)).toBe(false);
  });
});

describe("parseAddressRange", () => {
  it.each([
    "",
    "example.org",
    "192.0.2.0/33",
    "2001:db8::/129",
    "192.0.2.0/",
    "192.0.2.0/024",
    "192.0.2.0/24/8",
    "192.0.2.0/-1",
    "fe80::1%eth0",
    "192.0.2",
  ])("does not read %j", (text) => {
    expect(parseAddressRange(text)).toBeUndefined();
  });

  it.each(["192.0.2.10", "192.0.2.0/24", "2001:db8::/64", "2001:db8::1", "0.0.0.0/0"])(
    "writes %s as it was read",
    (text) => {
      const range = parseAddressRange(text);
      expect(range && encodeAddressRange(range)).toBe(text);
    },
  );
});
