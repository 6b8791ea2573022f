import { describe, expect, test } from "vitest";
import {
  commonNameOf,
  parseAuthorityName,
  parseCertifiedClient,
  parseCertifiedHost,
} from "../../src/ca/certificate-name.ts";

describe("a server's name", () => {
  test.each([
    ["repo.example.org", { kind: "dns", name: "repo.example.org" }],
    ["Repo.Example.ORG", { kind: "dns", name: "repo.example.org" }],
    ["localhost", { kind: "dns", name: "localhost" }],
    ["xn--bcher-kva.example", { kind: "dns", name: "xn--bcher-kva.example" }],
    ["1and1.example", { kind: "dns", name: "1and1.example" }],
    ["192.0.2.7", { kind: "ip", name: "192.0.2.7" }],
    ["2001:DB8::1", { kind: "ip", name: "2001:db8::1" }],
  ])("%j is one", (text, host) => expect(parseCertifiedHost(text)).toEqual(host));

  test.each([
    "",
    "*.example.org",
    "repo.example.org.",
    ".example.org",
    "repo..example.org",
    "-repo.example.org",
    "repo-.example.org",
    "repo_1.example.org",
    "repo.example.org,DNS:other.example.org",
    "repo.example.org\nsubjectAltName=DNS:other.example.org",
    "repo.example.org\n",
    "$ENV::HOME",
    "DNS:repo.example.org",
    "@section",
    "repo.example.org/CN=other",
    "repo example.org",
    "bücher.example",
    "fe80::1%eth0",
    "[2001:db8::1]",
    "300.1.1.1",
    "192.0.2",
    "repo.example.org:8443",
    "https://repo.example.org",
    "a".repeat(64),
    `${"a.".repeat(126)}aa`,
  ])("%j is none", (text) => expect(parseCertifiedHost(text)).toBeUndefined());

  test("that is too long for a subject leaves its place to the next", () => {
    const long = { kind: "dns", name: `${"a".repeat(60)}.example` } as const;
    const other = { kind: "dns", name: "repo.example.org" } as const;
    expect(commonNameOf([long, other])).toBe("repo.example.org");
    expect(commonNameOf([long])).toBeUndefined();
  });
});

describe("a client's name", () => {
  test.each(["enclave", "a", "A1", "enclave-2.site_b", "a".repeat(64)])("%j is one", (text) =>
    expect(parseCertifiedClient(text)).toBe(text),
  );

  test.each([
    "",
    "ca",
    "crl",
    "server",
    ".enclave",
    "-enclave",
    "enclave.",
    "..",
    "a/b",
    "a/CN=b",
    "a+CN=b",
    "a,b",
    "a b",
    "a\n",
    "a\0",
    "é",
    "$a",
    "a#b",
    "a".repeat(65),
  ])("%j is none", (text) => expect(parseCertifiedClient(text)).toBeUndefined());
});

describe("a CA's name", () => {
  test.each(["signer CA 2026-12-01", "Example Linux: certificates (2026)", "x"])("%j is one", (text) =>
    expect(parseAuthorityName(text)).toBe(text),
  );

  test.each(["", " x", "x ", "a/b", "a=b", "a+b", "a\\b", "a\nb", 'a"b', "a$b", "a#b", "é", "x".repeat(65)])(
    "%j is none",
    (text) => expect(parseAuthorityName(text)).toBeUndefined(),
  );
});
