import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { configTemplate } from "../../../src/config/config-template.ts";
import { parseConfig } from "../../../src/config/parse-config.ts";
import { LogCopy } from "../../../src/log/copy/log-copy.ts";
import { entryMessages } from "../../../src/log/remote/entry-messages.ts";
import { encodeMessage, type Message, parseMessage } from "../../../src/log/remote/message.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { appendOf, fork, growLog, sampleLog, WITNESS_NAME } from "../../log/copy/fixture.ts";
import { at, DAY, freshDirectory, linesOf, tamper } from "../../log/fixture.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { startSshd } from "../../support/sshd.ts";
import { signerLog } from "./command-line.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const linesIn = (text: string) => text.split("\n").slice(0, -1);

/** An empty copy that `signer-log init` made of a log of nine entries. */
async function initialised() {
  const made = await sampleLog(9);
  const copies = freshDirectory();
  const global = ["--log", "repo", "--copies", copies];
  const init = ["init", ...global];
  const options = ["--verifier", encodeVerifierKey(made.ledger.verifier), "--witness", WITNESS_NAME];
  const printed = await signerLog([...init, ...options]);
  expect(printed.status).toBe(0);
  return { ...made, copies, copy: join(copies, "repo"), global, init, options, lines: linesIn(printed.text) };
}

/** A copy with all nine entries. */
async function filled() {
  const made = await initialised();
  const copy = LogCopy.open(made.copy);
  copy.append(appendOf(made.ledger, 0, 9), at(DAY));
  copy.close();
  return made;
}

/** A session that sends entries `from` to `to`. */
function session({ entries, ...append }: ReturnType<typeof appendOf>): string {
  const messages: Message[] = [
    { kind: "append", ...append },
    ...entries.flatMap((entry) => [...entryMessages(entry)]),
  ];
  return messages.map((message) => `${encodeMessage(message)}\n`).join("");
}

describe("init", () => {
  test("prints both keys, and a table that signer.toml takes once the blanks are filled in", async () => {
    const { ledger, copy, lines } = await initialised();
    const witness = readFileSync(join(copy, "witness.pub"), "utf8").trimEnd();
    expect(lines.slice(0, 3)).toEqual([
      `made         copy of ${ledger.verifier.name} in ${copy}`,
      `log key      ${encodeVerifierKey(ledger.verifier)}`,
      `witness key  ${witness}`,
    ]);
    const begin = lines.indexOf("[[remote_log]]");
    const table = lines
      .slice(begin, lines.indexOf("", begin))
      .join("\n")
      .replace("HOST", "log.example.org")
      .replace(/host_key = .*/, `host_key = "${HOST_KEY}"`);
    const config = configTemplate({
      mode: "standalone",
      origin: "signer.example.org/repo",
      stateDirectory: "/var/lib/signer",
      keyFile: "/etc/signer/repo.key",
      journalFile: "/var/lib/signer/journal.jsonl",
    });
    expect(parseConfig(`${config}\n${table}\n`).remoteLogs).toMatchObject([
      {
        kind: "ssh",
        name: "loghost",
        host: "log.example.org",
        required: true,
        witness: { name: WITNESS_NAME },
      },
    ]);
  });

  test("again prints the same, and leaves a copy of another log or witness as it is", async () => {
    const { init, options, lines, copy } = await initialised();
    const before = readFileSync(join(copy, "witness.key"));
    for (const args of [[], options]) {
      const again = await signerLog([...init, ...args]);
      expect(linesIn(again.text)).toEqual([lines[0]?.replace("made ", "found"), ...lines.slice(1)]);
    }
    const { ledger: stranger } = await sampleLog(1);
    for (const other of [
      ["--verifier", encodeVerifierKey(stranger.verifier)],
      ["--witness", "another.example.org"],
    ]) {
      expect((await signerLog([...init, ...other])).status).toMatch(
        /^bad-configuration: .* was left as it is$/,
      );
    }
    expect(readFileSync(join(copy, "witness.key"))).toEqual(before);
  });

  test.each([
    ["no name of the copy", (key: string) => ["--verifier", key, "--witness", "w"]],
    ["no key", () => ["--log", "a", "--witness", "w"]],
    ["a key that is none", () => ["--log", "a", "--verifier", "key", "--witness", "w"]],
    ["no witness", (key: string) => ["--log", "a", "--verifier", key]],
    ["a witness with spaces", (key: string) => ["--log", "a", "--verifier", key, "--witness", "a b"]],
    [
      "a witness called as the log",
      (key: string) => ["--log", "a", "--verifier", key, "--witness", key.split("+")[0] ?? ""],
    ],
  ])("with %s makes nothing: 64", async (_, args) => {
    const { ledger } = await sampleLog(1);
    const copies = freshDirectory();
    const given = args(encodeVerifierKey(ledger.verifier));
    expect((await signerLog(["init", "--copies", copies, ...given])).status).toBe(64);
    expect(existsSync(join(copies, "a"))).toBe(false);
  });
});

const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKxlmZhjvzyVfGL88s8dHyPu9Ap9f1uksowPgd/+P/ww";

test("the line that init prints lets a signing host send, over the real sshd, and do nothing else", async () => {
  const { ledger, directory, copy, lines } = await initialised();
  const line = lines.find((each) => each.startsWith("restrict,")) ?? "";
  const server = await startSshd(cleanup, {
    authorizedKeys: (publicKey) =>
      `${line
        .replace("ADDRESS", "127.0.0.1")
        .replace("/usr/bin/signer-log", resolve("bin/signer-log"))
        .replace("ssh-ed25519 PUBLIC-KEY", publicKey)}\n`,
  });
  const sent = await server.ssh("receive", { stdin: session(appendOf(ledger, 0, 9)) });
  expect(sent).toMatchObject({ status: 0, stderr: "" });
  const messages = sent.stdout.toString().trimEnd().split("\n").map(parseMessage);
  expect(messages.map((message) => message?.kind)).toEqual(["hello", "cosigned"]);
  expect(linesOf(copy)).toEqual(linesOf(directory));
  expect(await server.ssh("receive --log other")).toMatchObject({ status: 64, stdout: Buffer.alloc(0) });
  expect(await server.ssh("id")).toMatchObject({
    status: 64,
    stdout: Buffer.alloc(0),
    stderr: 'signer-log: bad-request: expected no command, or receive, not "id"\n',
  });
});

describe("a copy on a log host", () => {
  test("is listed, shown and verified as the log itself is", async () => {
    const { ledger, directory, global } = await filled();
    for (const command of [
      ["list"],
      ["list", "--json", "--limit", "all"],
      ["show", "2"],
      ["checkpoint"],
      ["key"],
    ]) {
      const own = await signerLog(["--state", directory, ...command]);
      expect(own.status).toBe(0);
      expect(await signerLog([...command, ...global])).toEqual(own);
    }
    const verified = await signerLog(["verify", ...global]);
    expect(verified.status).toBe(0);
    expect(linesIn(verified.text)).toContain(`key               ${encodeVerifierKey(ledger.verifier)}`);
  });

  test("that is empty, or not there, is said to be so", async () => {
    const { global, copies } = await initialised();
    for (const command of ["list", "verify", "checkpoint", "key"]) {
      expect((await signerLog([command, ...global])).status).toMatch(
        /^no-state: the copy is empty: .*signer-log push/,
      );
      const missing = ["--log", "other", "--copies", copies];
      expect((await signerLog([command, ...missing])).status).toMatch(
        /^no-state: there is no .*: signer-log init/,
      );
    }
  });

  test("that is found broken is broken for its log host; nobody's signing is stopped by a mark there", async () => {
    const { copy, global } = await filled();
    tamper(copy, "UPDATE entries SET line = replace(line, 'core', 'cure') WHERE seq = 3");
    const { status } = await signerLog(["verify", ...global]);
    expect(status).toMatch(/^log-broken: entry 3: (?!.*signing is stopped)/);
    expect(existsSync(join(copy, "halted"))).toBe(false);
  });

  test("is held against the key that it was made for, whatever its entries say", async () => {
    const { copy, global } = await filled();
    const { ledger: stranger } = await sampleLog(1);
    writeFileSync(join(copy, "log.pub"), `${encodeVerifierKey(stranger.verifier)}\n`);
    expect((await signerLog(["verify", ...global])).status).toMatch(
      /^log-broken: entry 0: the log began with another/,
    );
    writeFileSync(join(copy, "log.pub"), "no key\n");
    expect((await signerLog(["verify", ...global])).status).toMatch(
      /^log-broken: log.pub is not the key of a log$/,
    );
  });

  test("that keeps evidence of a conflict says so whenever it is verified, and is sound all the same", async () => {
    const { ledger, directory, copy, global } = await filled();
    const other = fork(directory);
    await growLog(ledger, 11);
    await growLog(other, 12, "extra.db.tar.gz");
    const open = LogCopy.open(copy);
    open.append(appendOf(ledger, 9, 11), at(DAY));
    expect(open.append(appendOf(other, 9, 12), at(DAY))).toMatchObject({ kind: "conflict" });
    open.close();
    const { status, notes } = await signerLog(["verify", "--quiet", ...global]);
    expect(status).toBe(0);
    expect(notes).toEqual([expect.stringMatching(/contradicts this copy, once: see conflicts beside it$/)]);
  });
});
