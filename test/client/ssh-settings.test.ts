import { expect, test } from "vitest";
import { parseSshSettings } from "../../src/client/ssh-settings.ts";

const NOBODY = { home: "/home/alice", agent: undefined };
const HOST = { host: "signer", identities: undefined, agent: undefined };
const BASE = "hostname Signer.example.org\nport 22\nuser repos\n";

const settings = (more: string, config: object = {}, session: object = {}) =>
  parseSshSettings(BASE + more, { ...HOST, ...config }, { ...NOBODY, ...session });

test("~ and tokens in paths are of whoever runs the client", () => {
  expect(settings("identityfile ~/a\nidentityfile %d/%r@%h%%\nuserknownhostsfile ~/k none\n")).toMatchObject({
    identities: ["/home/alice/a", "/home/alice/repos@Signer.example.org%"],
    knownHostsFiles: ["/home/alice/k"],
  });
});

test("known_hosts know a host by its lower-case name, its port where it is not 22, or HostKeyAlias", () => {
  expect(settings("").knownAs).toBe("signer.example.org");
  expect(settings("").hostName).toBe("Signer.example.org");
  expect(parseSshSettings("hostname h\nport 2222\nuser u", HOST, NOBODY).knownAs).toBe("[h]:2222");
  expect(parseSshSettings("hostname h\nport 2222\nuser u\nhostkeyalias a", HOST, NOBODY).knownAs).toBe("a");
});

test("the agent is that of client.toml, then of ssh_config, then of the session", () => {
  const session = { agent: "/session" };
  expect(settings("identityagent /cfg", { agent: "/toml" }, session).agent).toBe("/toml");
  expect(settings("identityagent ~/cfg", {}, session).agent).toBe("/home/alice/cfg");
  expect(settings("identityagent none", {}, session).agent).toBeUndefined();
  expect(settings("", {}, session).agent).toBe("/session");
  expect(settings("", {}, { agent: "" }).agent).toBeUndefined();
});

test("identities of client.toml take the place of all others", () => {
  const own = settings("identityfile ~/a\nidentitiesonly no", { identities: ["/k"] });
  expect(own).toMatchObject({ identities: ["/k"], identitiesOnly: true });
});

test("an answer without a host is none", () => {
  for (const text of ["", "hostname h\nuser u", "port 22\nuser u", "hostname h\nport 22"])
    expect(() => parseSshSettings(text, HOST, NOBODY)).toThrow(
      expect.objectContaining({ code: "bad-configuration" }),
    );
});
