import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "../../src/config/config-template.ts";
import { problemsWith as problems, readWith as read } from "./smallest.ts";

const blob = ed25519Blob();
const KEY = `ssh-ed25519 ${blob.toString("base64")}`;
const REQUIRED = {
  name: "repos",
  url: "https://repo.example.org:8443/signer",
  client: "repos",
  ca: "/etc/signer/pull/ca.pem",
  certificate: "/etc/signer/pull/enclave.pem",
  key: "/etc/signer/pull/enclave.key",
  notification_key: KEY,
};

function ed25519Blob(): Buffer {
  const { x = "" } = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
  const strings = [Buffer.from("ssh-ed25519"), Buffer.from(x, "base64url")];
  return Buffer.concat(strings.flatMap((bytes) => [Buffer.from([0, 0, 0, bytes.length]), bytes]));
}

function source(settings: Readonly<Record<string, string | number>> = {}): string {
  const lines = Object.entries({ ...REQUIRED, ...settings }).map(
    ([name, value]) => `${name} = ${JSON.stringify(value)}`,
  );
  return `[[sources]]\n${lines.join("\n")}\n`;
}

const DEFAULTS = {
  name: "repos",
  url: "https://repo.example.org:8443/signer",
  client: "repos",
  caFile: "/etc/signer/pull/ca.pem",
  crlFile: undefined,
  certificateFile: "/etc/signer/pull/enclave.pem",
  keyFile: "/etc/signer/pull/enclave.key",
  notificationKey: blob,
  pollMs: 10_000,
  maxBackOffMs: 300_000,
  timeoutMs: 30_000,
  maxBytes: 4_294_967_296,
  proxy: undefined,
};

test("a source needs a name, an address, a client, certificates and the key of its notifications; the rest has defaults", () => {
  expect(read(source()).sources).toEqual([DEFAULTS]);
  expect(problems("[[sources]]")).toEqual(Object.keys(REQUIRED).map((key) => `source 1, ${key}: missing`));
});

test("every key of a source is read", () => {
  const settings = {
    crl: "/etc/signer/pull/crl.pem",
    poll: "1 s",
    max_back_off: "1 h",
    timeout: "5 s",
    max_size: "1 GiB",
    proxy: "socks5h://127.0.0.1:9050",
  };
  expect(read(source(settings)).sources).toEqual([
    {
      ...DEFAULTS,
      crlFile: "/etc/signer/pull/crl.pem",
      pollMs: 1000,
      maxBackOffMs: 3_600_000,
      timeoutMs: 5000,
      maxBytes: 1_073_741_824,
      proxy: "socks5h://127.0.0.1:9050",
    },
  ]);
  expect(read('[pull]\nstate = "/srv/pull"').pull).toEqual({ stateDirectory: "/srv/pull" });
});

test("the source of the shipped example has every key, and but for its key is a valid one", () => {
  const shown = EXAMPLE_CONFIG.slice(EXAMPLE_CONFIG.indexOf("# [pull]"))
    .replaceAll(/^# (?=[a-z_]+ = |\[)/gm, "")
    .replace("ssh-ed25519 AAAA...", KEY);
  expect(read(shown).sources).toEqual([
    { ...DEFAULTS, crlFile: "/etc/signer/pull/crl.pem", proxy: "socks5h://127.0.0.1:9050" },
  ]);
});

test.each([
  ["https://repo.example.org", "https://repo.example.org"],
  ["https://repo.example.org/", "https://repo.example.org"],
  ["https://Repo.example.org:8443/a/b-c_d.e/", "https://repo.example.org:8443/a/b-c_d.e"],
  ["https://192.0.2.10/x", "https://192.0.2.10/x"],
  ["https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"],
])("the address %s is taken", (url, expected) => {
  expect(read(source({ url })).sources[0]?.url).toBe(expected);
});

test.each([
  "http://repo.example.org/signer",
  "https://user@repo.example.org/signer",
  "https://user:secret@repo.example.org/signer",
  "https://repo.example.org/signer?x=1",
  "https://repo.example.org/signer?",
  "https://repo.example.org/signer#x",
  "https://repo.example.org/a/../b",
  "https://repo.example.org/./b",
  "https://repo.example.org//b",
  "https://repo.example.org/a%2fb",
  "https://repo.example.org/a b",
  "https://repo.example.org:0/x",
  "https://repo.example.org:99999/x",
  "https://-x/",
  "https://[x]/",
  "https:///x",
  "https://",
  "repo.example.org",
])("the address %s is not", (url) => {
  expect(problems(source({ url }))).toEqual([
    expect.stringMatching(/^source 1, url: expected an address such as "https:/),
  ]);
});

test.each([
  "socks5://127.0.0.1:9050",
  "socks4a://127.0.0.1:9050",
  "http://127.0.0.1:9050",
  "socks5h://127.0.0.1",
  "socks5h://user@127.0.0.1:9050",
  "socks5h://127.0.0.1:9050/",
  "socks5h://127.0.0.1:65536",
])("the proxy %s is not taken", (proxy) => {
  expect(problems(source({ proxy }))).toEqual([expect.stringMatching(/^source 1, proxy: expected a proxy/)]);
});

test.each([
  ["name", "../x", "expected 1 to 64 characters"],
  ["client", "Repos", "expected 1 to 64 characters"],
  ["ca", "ca.pem", "expected an absolute path"],
  ["crl", "crl.pem", "expected an absolute path"],
  ["certificate", "x", "expected an absolute path"],
  ["key", "x", "expected an absolute path"],
  [
    "notification_key",
    `ssh-rsa ${Buffer.from("\0\0\0\x07ssh-rsa\0\0\0\x01a").toString("base64")}`,
    "expected an Ed25519 key",
  ],
  ["notification_key", `ssh-ed25519 ${blob.subarray(0, -1).toString("base64")}`, "expected an Ed25519 key"],
  ["poll", "2 days", "expected 1 s to 1 day"],
  ["max_back_off", "2 days", "expected 1 s to 1 day"],
  ["timeout", "2 h", "expected 1 s to 1 h"],
  ["max_size", "4 GB", "expected a size"],
])("%s = %j is a mistake", (key, value, message) => {
  expect(problems(source({ [key]: value }))).toContainEqual(
    expect.stringMatching(new RegExp(`^source 1, ${key}: ${message}`)),
  );
});

test("a name stands once, a client is one of the rules, and the state folder is not the log's", () => {
  const text = `[pull]\nstate = "/var/lib/signer"\n${source()}${source({ client: "releng" })}`;
  expect(problems(text)).toEqual([
    "pull.state: expected another folder than state, which holds the log",
    'source 2, name: "repos" stands twice',
    'source 2, client: no rule names the client "releng"',
    'source 2, notification_key: it is that of another source, of the client "repos"',
  ]);
  expect(problems(source({ ports: 1 }))).toEqual(["source 1, ports: unknown key"]);
});

test("a key signs notifications for one client: a web server could show one source what was announced to another", () => {
  const releng = '[[rules]]\nid = "iso"\nclient = "releng"\ntype = "iso"\nkey = "repo"\n';
  const other = { name: "isos", client: "releng", notification_key: `${KEY} another comment` };
  expect(problems(`${releng}${source()}${source(other)}`)).toEqual([
    'source 2, notification_key: it is that of another source, of the client "repos"',
  ]);
  expect(problems(`${releng}${source()}${source({ ...other, client: "repos" })}`)).toEqual([]);
});
