import { expect, test } from "vitest";
import { problemsWith as problems, readWith as read } from "./smallest.ts";

const collector = `[[remote_log]]
type = "syslog"
name = "siem"
host = "syslog.example.org"
ca = "/etc/signer/syslog-ca.pem"
`;

const source = {
  kind: "syslog",
  name: "siem",
  host: "syslog.example.org",
  port: 6514,
  timeoutMs: 10_000,
  caFile: "/etc/signer/syslog-ca.pem",
  certificateFile: undefined,
  keyFile: undefined,
};

test("a collector needs a name, a host and a CA; the rest has defaults", () => {
  expect(read(collector).remoteLogs).toEqual([source]);
  expect(problems('[[remote_log]]\ntype = "syslog"')).toEqual(
    ["name", "host", "ca"].map((key) => `remote_log 1, ${key}: missing`),
  );
});

test("every key of a collector is read", () => {
  const more = `${collector}port = 601
certificate = "/etc/signer/syslog.pem"
key = "/etc/signer/syslog.key"
timeout = "2 s"
required = false
`;
  expect(read(more).remoteLogs).toEqual([
    {
      ...source,
      port: 601,
      timeoutMs: 2000,
      certificateFile: "/etc/signer/syslog.pem",
      keyFile: "/etc/signer/syslog.key",
    },
  ]);
});

test("a collector cannot be required, because it acknowledges nothing", () => {
  expect(problems(`${collector}required = true`)).toEqual([
    "remote_log 1, required: expected false: syslog acknowledges nothing, so that no signature can wait for it",
  ]);
});

test.each([
  ['certificate = "/etc/signer/syslog.pem"', "remote_log 1: certificate and key come together"],
  ['key = "/etc/signer/syslog.key"', "remote_log 1: certificate and key come together"],
  ['witness = "a"', "remote_log 1, witness: unknown key"],
  ["port = 65536", "remote_log 1, port: expected a port from 1 to 65535"],
  [
    'timeout = "10 ms"',
    'remote_log 1, timeout: expected a duration such as "30 s", "24 h" or "14 days", not "10 ms"',
  ],
])("%s is a mistake", (line, problem) => {
  expect(problems(`${collector}${line}\n`)).toEqual([problem]);
});
