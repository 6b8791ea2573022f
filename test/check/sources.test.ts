import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { areFetched, checkSources } from "../../src/check/check-sources.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse-config.ts";
import { type Announcer, makeAnnouncer } from "../pull/announcer.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { makeSigningHost, rule } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const shared = new Cleanup();
afterAll(() => shared.run());
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

let authority: CertificateAuthority;
let certificate: CertificateFiles;
let announcer: Announcer;
beforeAll(async () => {
  authority = await makeAuthority(shared, { algorithm: "ed25519", days: 1000 });
  certificate = await authority.issue({ usage: "client", expiredDays: -2000 });
  announcer = await makeAnnouncer(shared);
});

interface Place {
  readonly folder: string;
  readonly pull: string;
  readonly state: string;
  readonly caFile: string;
  readonly crlFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** What check says, without `name: `; files without their folder. */
  check(options?: { readonly mode?: string; readonly now?: Date }): readonly string[];
}

/** A place where nothing is wrong, with copies of the files. */
async function place(files: CertificateFiles = certificate): Promise<Place> {
  const folder = await tempDir(cleanup);
  const [pull, state, sockets] = ["pull", "state", "sockets"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const each of [pull, state, sockets]) mkdirSync(each, { mode: 0o700 });
  const copy = (from: string, name: string) => {
    copyFileSync(from, join(folder, name));
    chmodSync(join(folder, name), 0o600);
    return join(folder, name);
  };
  const paths = {
    caFile: copy(authority.caFile, "ca.pem"),
    crlFile: copy(authority.crlFile, "crl.pem"),
    certificateFile: copy(files.certificateFile, "enclave.pem"),
    keyFile: copy(files.keyFile, "enclave.key"),
  };
  const toml = (mode: string) => `origin = "signer.example.org/repo"
mode = "${mode}"
state = "${state}"
service = { sockets = "${sockets}" }
[keys.repo]
file = "/none"
${rule({ id: "all", type: "db" })}
[pull]
state = "${pull}"
[[sources]]
name = "repos"
url = "https://repo.example.org/signer"
client = "repos"
ca = "${paths.caFile}"
crl = "${paths.crlFile}"
certificate = "${paths.certificateFile}"
key = "${paths.keyFile}"
notification_key = "${announcer.publicKey}"
`;
  return {
    folder,
    pull,
    state,
    ...paths,
    check: ({ mode = "standalone", now = new Date() } = {}) =>
      checkSources(parseConfig(toml(mode)), now).map(
        ({ level, area, text }) => `${level} ${area}: ${text.replaceAll(`${folder}/`, "")}`,
      ),
  };
}

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);

test("without sources there is nothing to say", () => {
  const config = parseConfig(`origin = "signer.example.org/repo"
state = "/var/lib/signer"
[keys.repo]
file = "/none"
${rule({ id: "all", type: "db" })}`);
  expect(checkSources(config, new Date())).toEqual([]);
});

test("where nothing is wrong, it says until when the certificate lives", async () => {
  const { check } = await place();
  expect(check()).toEqual([
    expect.stringMatching(
      /^ok sources: repos: enclave\.pem is valid until \d{4}-\d\d-\d\d, (?:1999|2000) days from now$/,
    ),
  ]);
});

describe("the folder", () => {
  test("that is missing, or no folder", async () => {
    const { check, pull } = await place();
    rmSync(pull, { recursive: true });
    expect(check()[0]).toBe(
      "error sources: pull is missing: make it, mode 0700, for the account of signer pull",
    );
    writeFileSync(pull, "");
    expect(check()[0]).toBe("error sources: pull is no folder");
  });

  test("that is open to others", async () => {
    const { check, pull } = await place();
    chmodSync(pull, 0o750);
    expect(check()[0]).toBe("error sources: pull is open to others (mode 0750): chmod go= it");
  });

  test.runIf(process.getuid?.() === 0)(
    "of the wrong account: another one in split mode, the same in standalone",
    async () => {
      const { check, pull, state } = await place();
      chownSync(pull, 1, 1);
      expect(check()[0]).toBe(
        "error sources: pull belongs to account 1, the state to 0: in standalone mode who fetches also signs",
      );
      chownSync(state, 1, 1);
      expect(check({ mode: "split" })[0]).toBe(
        "error sources: pull belongs to the account that signs: in split mode signer pull has one of its own",
      );
    },
  );
});

describe("files", () => {
  test("that are missing", async () => {
    const { check, caFile, crlFile, certificateFile, keyFile } = await place();
    for (const file of [caFile, crlFile, certificateFile, keyFile]) rmSync(file);
    expect(check()).toEqual(
      ["ca.pem", "crl.pem", "enclave.pem", "enclave.key"].map(
        (name) => `error sources: repos: ${name} is missing`,
      ),
    );
  });

  test("a key that others may read", async () => {
    const { check, keyFile } = await place();
    chmodSync(keyFile, 0o640);
    expect(check()[0]).toBe("error sources: repos: enclave.key is open to others (mode 0640): chmod go= it");
  });

  test.runIf(process.getuid?.() === 0)("that the account cannot read", async () => {
    const { check, folder, pull, keyFile } = await place();
    chmodSync(folder, 0o755);
    chownSync(pull, 1, 1);
    chownSync(keyFile, 1, 1);
    expect(check({ mode: "split" }).filter((line) => line.includes("cannot read"))).toEqual(
      ["ca.pem", "crl.pem", "enclave.pem"].map((name) => `error sources: repos: daemon cannot read ${name}`),
    );
  });

  test("that hold something else", async () => {
    const { check, caFile, certificateFile, crlFile, keyFile } = await place();
    writeFileSync(crlFile, "?");
    expect(check()).toEqual(["error sources: repos: crl.pem is no list of revoked certificates"]);
    writeFileSync(keyFile, "?");
    expect(check()).toEqual([
      "error sources: repos: enclave.key is not the key of enclave.pem, or has a passphrase",
    ]);
    writeFileSync(certificateFile, "?");
    expect(check()).toEqual(["error sources: repos: enclave.pem holds no certificate"]);
    writeFileSync(caFile, "?");
    expect(check()).toEqual(["error sources: repos: ca.pem holds no certificate"]);
  });
});

describe("a certificate", () => {
  test("of another key, or another CA", async () => {
    const other = await authority.issue();
    const stranger = await makeAuthority(cleanup, { algorithm: "ed25519", days: 1000 });
    const { check, keyFile, caFile } = await place();
    copyFileSync(other.keyFile, keyFile);
    copyFileSync(stranger.caFile, caFile);
    expect(check()).toEqual([
      "error sources: repos: enclave.key is not the key of enclave.pem, or has a passphrase",
      "error sources: repos: enclave.pem is not from a CA in ca.pem",
    ]);
  });

  test("of a key that the connection does not take", async () => {
    const { check } = await place(await authority.issue({ algorithm: "rsa" }));
    expect(check()[0]).toBe(
      "error sources: repos: enclave.pem has a key of the type rsa: expected Ed25519 or Ed448",
    );
  });

  test("that is over, or not yet valid", async () => {
    const over = await place(await authority.issue({ expiredDays: 2 }));
    expect(over.check()).toEqual([
      expect.stringMatching(/^error sources: repos: enclave\.pem was valid until 2/),
    ]);
    const early = await place(await authority.issue({ validInDays: 2 }));
    expect(early.check()).toEqual([
      expect.stringMatching(/^error sources: repos: enclave\.pem is valid from 2/),
    ]);
  });

  test("that ends within 30 days is a warning, its CA's own too", async () => {
    const soon = await place(await authority.issue({ expiredDays: -29 }));
    expect(soon.check()).toEqual([
      expect.stringMatching(/^warning sources: repos: enclave\.pem .*, 2[89] days from now$/),
    ]);
    const { check } = await place();
    expect(check({ now: inDays(980) })).toEqual([
      expect.stringMatching(/^warning sources: repos: ca\.pem is valid until .*, (?:19|20) days from now$/),
    ]);
    expect(check({ now: inDays(1001) })).toEqual([
      expect.stringMatching(/^error sources: repos: ca\.pem was valid until /),
    ]);
  });
});

describe.runIf(process.getuid?.() === 0)("in split mode, the way to the service", () => {
  test("is not there where it does not run", async () => {
    const { check } = await place();
    expect(check({ mode: "split" })).toContain(
      "note sources: repos: there is no sockets/repos.sock now: the service does not run",
    );
  });

  test("is closed to an account that is not in the socket's group", async () => {
    const { check, folder, pull } = await place();
    const socket = join(folder, "sockets", "repos.sock");
    writeFileSync(socket, "");
    chownSync(pull, 1, 1); // daemon
    chownSync(socket, 3, 2); // sys, bin
    const said = () => check({ mode: "split" }).filter((line) => line.includes("sock"));
    expect(said()).toEqual([
      "error sources: repos: daemon may not connect to sockets/repos.sock: usermod -aG bin daemon",
    ]);
    chownSync(socket, 3, 1);
    expect(said()).toEqual([]);
  });
});

test("signer check has it among the rest", async () => {
  const host = await makeSigningHost(cleanup);
  const { pull, caFile, certificateFile, keyFile } = await place();
  rmSync(pull, { recursive: true });
  const { publicKey } = announcer;
  const lines = {
    url: "https://x.example/y",
    client: "repos",
    ca: caFile,
    certificate: certificateFile,
    key: keyFile,
  };
  const table = Object.entries({ name: "repos", ...lines, notification_key: publicKey });
  appendFileSync(
    host.configFile,
    `[pull]\nstate = ${JSON.stringify(pull)}\n[[sources]]\n${table.map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join("\n")}\n`,
  );
  const { stdout, status } = await host.signer(["check", "--sshd-config", "/nonexistent"]);
  expect(stdout.toString()).toMatch(/^ERROR {4}sources {8}.*pull is missing: make it/m);
  expect(stdout.toString()).toMatch(/^ok {7}sources {8}repos: .*enclave\.pem is valid until/m);
  expect(status).not.toBe(0);
});

test("nobody need ask over SSH where each client has a source", () => {
  const config = { sources: [{ client: "repos" }, { client: "iso" }] } as unknown as Config;
  expect(areFetched(config, ["repos"])).toBe(true);
  expect(areFetched(config, ["iso", "repos"])).toBe(true);
  expect(areFetched(config, ["repos", "releng"])).toBe(false);
});
