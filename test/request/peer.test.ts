import { describe, expect, it } from "vitest";
import { parseAddress, parseAuthInfo, parseConnection } from "../../src/request/peer.ts";

describe("parseConnection", () => {
  it.each([
    ["192.0.2.10 50000 192.0.2.1 22", "192.0.2.10"],
    ["2001:db8::7 50000 2001:db8::1 22", "2001:db8::7"],
    ["::ffff:192.0.2.10 50000 ::ffff:192.0.2.1 22", "192.0.2.10"],
    ["fe80::1%eth0 50000 fe80::2%eth0 22", "fe80::1"],
    ["127.0.0.1 65535 127.0.0.1 0", "127.0.0.1"],
  ])("takes the client's address of %j", (text, address) => {
    expect(parseConnection(text)).toBe(address);
  });

  it.each([
    undefined,
    "",
    "192.0.2.10",
    "192.0.2.10 50000 192.0.2.1",
    "192.0.2.10 50000 192.0.2.1 22 x",
    "192.0.2.10  50000 192.0.2.1 22",
    "192.0.2.10 65536 192.0.2.1 22",
    "192.0.2.10 -1 192.0.2.1 22",
    "192.0.2.10 50000 192.0.2.1 999999",
    "192.0.2.10 50000 here 22",
    "example.org 50000 192.0.2.1 22",
    "192.0.2.010 50000 192.0.2.1 22",
    "192.0.2 50000 192.0.2.1 22",
    "UNKNOWN 65535 UNKNOWN 65535",
    "192.0.2.10 50000 192.0.2.1 22\n",
  ])("knows no address in %j", (text) => {
    expect(parseConnection(text)).toBeUndefined();
  });
});

describe("parseAddress", () => {
  it.each([
    "192.0.2.256",
    "::g",
    "1.2.3.4%eth0",
    "fe80::1%",
    "fe80::1%a b",
    "[::1]",
    "::ffff:999.0.0.1",
    "localhost",
  ])("does not take %j for an address", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe("parseAuthInfo", () => {
  // ssh-keygen -l prints this fingerprint for this key.
  const key = "AAAAC3NzaC1lZDI1NTE5AAAAIEp9Sdsu7/qTuWN+CZ2Tlp9zmAUWNgj6e4AaDUyJ+51q";

  it("gives the fingerprint as ssh-keygen prints it", () => {
    expect(parseAuthInfo(`publickey ssh-ed25519 ${key}\n`)).toBe(FINGERPRINT);
  });

  it("takes the last of several keys", () => {
    expect(parseAuthInfo(`publickey ssh-rsa AAAA\npublickey ssh-ed25519 ${key}\n`)).toBe(FINGERPRINT);
  });

  it.each([
    "",
    "password\n",
    `publickey ssh-ed25519 ${key} trailing\n`,
    "publickey ssh-ed25519 !!!\n",
    "x".repeat(70_000),
  ])("knows no key in other text", (text) => {
    expect(parseAuthInfo(text)).toBeUndefined();
  });
});

const FINGERPRINT = "SHA256:WvSyzNtSDelO/PhHUTlXfwJw0M5Hua2J9pm08TlUWyQ";
