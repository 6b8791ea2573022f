import { expect, test } from "vitest";
import { isLogHost, remoteLogFiles } from "../../src/config/config.ts";
import { encodeVerifierKey } from "../../src/log/signed-note.ts";
import { newWitness } from "../support/log-host.ts";
import { problemsWith as problems, readWith } from "./smallest.ts";

const witness = newWitness().key;
const logHost = `[[remote_log]]
type = "https"
name = "loghost"
url = "https://log.example.org:8443/signer/"
ca = "/etc/signer/log/ca.pem"
certificate = "/etc/signer/log/enclave.pem"
key = "/etc/signer/log/enclave.key"
witness = "${encodeVerifierKey(witness)}"
`;

const read = (remoteLog: string) => readWith(remoteLog).remoteLogs;

const source = {
  kind: "https",
  name: "loghost",
  url: "https://log.example.org:8443/signer",
  caFile: "/etc/signer/log/ca.pem",
  crlFile: undefined,
  certificateFile: "/etc/signer/log/enclave.pem",
  keyFile: "/etc/signer/log/enclave.key",
  proxy: undefined,
  witness,
  required: true,
  timeoutMs: 10_000,
} as const;

test("a log host over HTTPS needs a url, CA, certificate, key and witness; it is required unless told otherwise", () => {
  expect(read(logHost)).toEqual([source]);
  expect(problems('[[remote_log]]\ntype = "https"')).toEqual(
    ["name", "witness", "url", "ca", "certificate", "key"].map((key) => `remote_log 1, ${key}: missing`),
  );
});

test("every key of it is read", () => {
  const more = `${logHost}crl = "/etc/signer/log/crl.pem"
proxy = "socks5h://127.0.0.1:9050"
timeout = "2 s"
required = false
`;
  const [whole] = read(more);
  expect(whole).toEqual({
    ...source,
    crlFile: "/etc/signer/log/crl.pem",
    proxy: "socks5h://127.0.0.1:9050",
    timeoutMs: 2000,
    required: false,
  });
});

test("its files are those that a fence has to leave open, the list of revoked ones where there is one", () => {
  const files = ["/ca", "/crl", "/certificate", "/key"] as const;
  const [caFile, crlFile, certificateFile, keyFile] = files;
  expect(remoteLogFiles({ ...source, caFile, crlFile, certificateFile, keyFile })).toEqual(files);
  expect(remoteLogFiles(source)).toEqual([source.caFile, source.certificateFile, source.keyFile]);
  expect(isLogHost(source)).toBe(true);
});

test.each([
  ["https://log.example.org:8443/signer/", "http://log.example.org/signer"],
  ["https://log.example.org:8443/signer/", "https://me@log.example.org/signer"],
  ["https://log.example.org:8443/signer/", "https://log.example.org/signer?x"],
  ["https://log.example.org:8443/signer/", "https://log.example.org/a/../b"],
])("with %j as %j its url is a mistake", (from, to) => {
  expect(problems(logHost.replace(from, to))).toEqual([
    `remote_log 1, url: expected an address such as "https://log.example.org:8443/signer", without user, query and fragment, not "${to}"`,
  ]);
});

test.each([
  ["port = 8443", "remote_log 1, port: unknown key"],
  ['host = "log.example.org"', "remote_log 1, host: unknown key"],
  ['host_key = "ssh-ed25519 AAAA"', "remote_log 1, host_key: unknown key"],
  [
    'proxy = "socks5://127.0.0.1:9050"',
    'remote_log 1, proxy: expected a proxy such as "socks5h://127.0.0.1:9050", of this scheme, not "socks5://127.0.0.1:9050"',
  ],
])("%s is a mistake", (line, problem) => {
  expect(problems(`${logHost}${line}\n`)).toEqual([problem]);
});
