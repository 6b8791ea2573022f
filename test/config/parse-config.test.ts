import { describe, expect, it } from "vitest";
import { ConfigFault, parseConfig } from "../../src/config/parse-config.ts";

const minimal = {
  head: 'origin = "signer.example.org/repo"\nstate = "/var/lib/signer"',
  keys: '[keys.repo]\nfile = "/etc/signer/repo.key"',
  rule: '[[rules]]\nid = "db"\nclient = "repos"\ntype = "db"\nkey = "repo"',
};

function toml(parts: Partial<typeof minimal> = {}): string {
  return Object.values({ ...minimal, ...parts }).join("\n");
}

function problems(text: string): readonly string[] {
  try {
    parseConfig(text);
  } catch (error) {
    if (error instanceof ConfigFault) return error.problems;
    throw error;
  }
  return [];
}

describe("parseConfig", () => {
  it("fills in every default", () => {
    expect(parseConfig(toml())).toEqual({
      origin: "signer.example.org/repo",
      notationDomain: "signer.example.org",
      mode: "standalone",
      stateDirectory: "/var/lib/signer",
      keys: new Map([["repo", { file: "/etc/signer/repo.key", passphraseCredential: undefined }]]),
      reissueWindowMs: 86_400_000,
      deadlines: { idleMs: 30_000, totalMs: 3_600_000 },
      remoteLogs: [],
      journalFile: undefined,
      service: {
        socketDirectory: "/run/signer",
        groups: new Map(),
        maxConnections: 32,
        maxActive: 4,
        metricsFile: undefined,
      },
      sender: { socketPath: "/run/signer-sender/sender.sock", group: undefined },
      pull: { stateDirectory: "/var/lib/signer-pull" },
      sources: [],
      rules: [
        {
          id: "db",
          client: "repos",
          from: undefined,
          type: "db",
          names: undefined,
          key: "repo",
          maxBytes: 134_217_728,
          maxExpandedBytes: 1_073_741_824,
          allowEmpty: false,
          limits: [],
          limitsPerName: [],
          signatureExpiresMs: undefined,
        },
      ],
    });
  });

  it("reads where the sender listens, and who may connect", () => {
    const sender = '[sender]\nsocket = "/run/elsewhere.sock"\ngroup = "signer"\n';
    expect(parseConfig(`${toml()}\n${sender}`).sender).toEqual({
      socketPath: "/run/elsewhere.sock",
      group: "signer",
    });
    const wrong = '[sender]\nsocket = "elsewhere"\ngroup = "Sign er"\nhost = "log.example.org"\n';
    expect(problems(`${toml()}\n${wrong}`)).toEqual([
      'sender.socket: expected an absolute path, not "elsewhere"',
      expect.stringMatching(/^sender\.group: expected a group's name or number/),
      "sender.host: unknown key",
    ]);
  });

  it("reads every key of a rule", () => {
    const rule = `${minimal.rule}
from = ["192.0.2.10", "2001:db8::/64"]
names = ["core.db.tar.gz", "*-testing.db.tar.gz"]
max_size = "64 MiB"
max_expanded_size = "2 GiB"
allow_empty = true
limits = ["600 per day", "60 per hour"]
limits_per_name = ["30 per hour"]
signature_expires = "14 days"`;
    expect(parseConfig(toml({ rule })).rules[0]).toMatchObject({
      from: [
        { address: "192.0.2.10", prefixLength: 32 },
        { address: "2001:db8::", prefixLength: 64 },
      ],
      names: ["core.db.tar.gz", "*-testing.db.tar.gz"],
      maxBytes: 67_108_864,
      maxExpandedBytes: 2_147_483_648,
      allowEmpty: true,
      limits: [
        { count: 600, window: { kind: "sliding", ms: 86_400_000 } },
        { count: 60, window: { kind: "sliding", ms: 3_600_000 } },
      ],
      limitsPerName: [{ count: 30, window: { kind: "sliding", ms: 3_600_000 } }],
      signatureExpiresMs: 1_209_600_000,
    });
  });

  it("reports five mistakes, all five at once, in words that say where and what was expected", () => {
    const text = toml({
      head: `${minimal.head}\nreisue_window = "24 h"`,
      rule: '[[rules]]\nid = "db"\nclient = "repos"\ntype = "dbx"\nkey = "rep"\nmax_size = "64MB"\nlimits = ["1 per fortnight"]',
    });
    expect(problems(text).toSorted()).toEqual([
      "reisue_window: unknown key",
      'rule 1, key: there is no [keys] entry "rep"',
      'rule 1, limits: expected a limit such as "60 per hour", "1 per month" or "5 per 30 days", not "1 per fortnight"',
      'rule 1, max_size: expected a size such as "64 MiB", not "64MB"',
      'rule 1, type: expected "db", "files" or "iso", not "dbx"',
    ]);
  });

  it.each([
    ["origin: missing", toml({ head: 'state = "/var/lib/signer"' })],
    ["state: missing", toml({ head: 'origin = "signer.example.org"' })],
    ["state: expected an absolute path", toml({ head: 'origin = "signer.example.org"\nstate = "lib"' })],
    ["origin: expected a name", toml({ head: 'origin = "a b"\nstate = "/s"' })],
    ["notation_domain: missing, and origin", toml({ head: 'origin = "signer/repo"\nstate = "/s"' })],
    ["notation_domain: expected a DNS name", toml({ head: `${minimal.head}\nnotation_domain = "a@b"` })],
    ["keys: missing", toml({ keys: "" })],
    ["keys.repo.file: missing", toml({ keys: "[keys.repo]" })],
    ["keys.repo.agent: unknown key", toml({ keys: `${minimal.keys}\nagent = "x"` })],
    ["rules: missing", toml({ rule: "" })],
    ["rule 1, id: missing", toml({ rule: '[[rules]]\nclient = "repos"\ntype = "db"\nkey = "repo"' })],
    ['rule 2, id: "db" stands twice', toml({ rule: `${minimal.rule}\n${minimal.rule}` })],
    ["rule 1, limit: unknown key", toml({ rule: `${minimal.rule}\nlimit = []` })],
    ["rule 1, from: expected an address", toml({ rule: `${minimal.rule}\nfrom = ["repos.example.org"]` })],
    ["rule 1, from: expected at least one", toml({ rule: `${minimal.rule}\nfrom = []` })],
    ["rule 1, names: expected a file name", toml({ rule: `${minimal.rule}\nnames = ["../core.db"]` })],
    ["rule 1, names: expected at least one", toml({ rule: `${minimal.rule}\nnames = []` })],
    ["rule 1, allow_empty: expected true or false", toml({ rule: `${minimal.rule}\nallow_empty = "no"` })],
    [
      "rule 1, signature_expires: expected at most",
      toml({ rule: `${minimal.rule}\nsignature_expires = "999999 days"` }),
    ],
    ["deadlines.idle: expected a duration", toml({ head: `${minimal.head}\ndeadlines = { idle = "soon" }` })],
    [
      "deadlines.total: expected at most",
      toml({ head: `${minimal.head}\ndeadlines = { total = "25 days" }` }),
    ],
    ["deadlines.idle: expected at most", toml({ head: `${minimal.head}\ndeadlines = { idle = "25 days" }` })],
    ["line 1, column", "origin = \n"],
    ["line 2, column", 'origin = "a.example"\norigin = "b.example"'],
  ])("says %s", (start, text) => {
    expect(problems(text)).toContainEqual(
      expect.stringMatching(new RegExp(`^${start.replace(/[[\]]/g, "\\$&")}`)),
    );
  });

  it("quotes an escape sequence instead of printing it", () => {
    const [problem = ""] = problems(
      toml({ head: 'origin = "a\\u001b[2Jb"\nstate = "/s"\nnotation_domain = "a.example"' }),
    );
    expect(problem).toContain('"a\\x1b[2Jb"');
    expect(problem).toMatch(/^[\x20-\x7e]+$/);
  });
});
