import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { accept } from "../../src/accept.ts";
import type { SigningKey } from "../../src/keys/signing-key.ts";
import { Ledger } from "../../src/log/ledger.ts";
import type { Receipt } from "../../src/log/remote/remote-logs.ts";
import { Fault } from "../../src/outcome.ts";
import { reply } from "../../src/reply.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { type SigningHost, sign } from "../../src/sign.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { rule } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";
import { type HostInProcess, makeHost } from "./fixture.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const bytes = buildDatabase({ packages: 1, kind: "db" });
const TWO = rule({ id: "two", type: "db", limits: ["2 per day"] });

/** One call to a host whose key, ledger or clock the test has replaced. */
async function callWith(replaced: Partial<SigningHost>, { host }: HostInProcess): Promise<string> {
  const address = parseAddress("192.0.2.10");
  const call = { client: "repos", command: NAME, peer: address && { address, sshKey: undefined } };
  try {
    const answer = await accept({ ...host, ...replaced }, call, Readable.from([bytes]));
    return answer.kind === "refusal" ? answer.code : answer.kind;
  } catch (error) {
    return error instanceof Fault ? `fault ${error.code}` : `bug ${error}`;
  }
}

/** The host's key, but `sign` does something first. */
function keyThat({ host }: HostInProcess, first: () => unknown): Pick<SigningHost, "loadKey"> {
  const loadKey = async (name: Parameters<SigningHost["loadKey"]>[0]): Promise<SigningKey> => {
    const key = await host.loadKey(name);
    return {
      ...key,
      sign: async (...args) => {
        await first();
        return key.sign(...args);
      },
    };
  };
  return { loadKey };
}

describe("without a durable entry there is no signature:", () => {
  test("a ledger that is closed", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    host.host.ledger.close();
    expect(await callWith({}, host)).toMatch(/^(?:fault|bug)/);
    expect(host.kinds()).toEqual(["started"]);
  });

  test("a log that another file takes the place of while the key signs", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    const log = join(host.stateDirectory, "log.db");
    const swap = keyThat(host, () => {
      copyFileSync(log, `${log}.copy`);
      renameSync(`${log}.copy`, log);
    });
    expect(await callWith(swap, host)).toBe("fault log-not-durable");
  });

  test("a log that is gone while the key signs", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    const log = join(host.stateDirectory, "log.db");
    expect(
      await callWith(
        keyThat(host, () => rmSync(log)),
        host,
      ),
    ).toBe("fault log-not-durable");
  });

  test("a log that others hold longer than it is waited for", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    const other = Ledger.open(host.stateDirectory, { busyTimeoutMs: 10 });
    cleanup.add(() => other.close());
    const impatient = { ...keyThat(host, () => undefined), ledger: other };
    await host.host.ledger.transact(host.clock.now, async (transaction) => {
      transaction.append({ kind: "configured", rules: "0".repeat(64), summary: [] });
      expect(await callWith(impatient, host)).toBe("fault busy");
    });
    expect(host.kinds()).toEqual(["started", "configured"]);
  });

  test("a log that failed is not asked to note its own failure", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    let asked = 0;
    const failing = new Proxy(host.host.ledger, {
      get: (ledger, property) => {
        if (property === "sign") return () => Promise.reject(new Fault("busy", "others hold the log"));
        if (property === "recordRefusal") asked++;
        return Reflect.get(ledger, property, ledger);
      },
    });
    expect(await callWith({ ledger: failing }, host)).toBe("fault busy");
    expect(asked).toBe(0);
  });

  test("a full disk, on which refusals are still refusals; with room again it signs", async (context) => {
    const folder = await mountSmall(512);
    if (folder === undefined) return context.skip("only root may mount a small file system");
    const host = await makeHost(cleanup, { rules: TWO, folder });
    const ballast = join(folder, "ballast");
    fill(ballast);
    expect(await host.outcome(NAME, bytes)).toBe("fault log-not-durable");
    expect(await host.outcome(NAME, Buffer.from("no database"))).toBe("not-recognised");
    rmSync(ballast);
    const again = Ledger.open(host.stateDirectory);
    cleanup.add(() => again.close());
    expect(await callWith({ ledger: again }, host)).toBe("signature");
    expect(host.kinds()).toEqual(["started", "configured", "signed"]);
  });

  test("a file system that is read-only", async (context) => {
    const folder = await mountSmall(2048);
    if (folder === undefined) return context.skip("only root may mount a small file system");
    const host = await makeHost(cleanup, { rules: TWO, folder });
    host.host.ledger.close();
    execFileSync("mount", ["-o", "remount,ro", folder]);
    await expect(async () => {
      const ledger = Ledger.open(host.stateDirectory);
      cleanup.add(() => ledger.close());
      const outcome = await callWith({ ledger }, host);
      if (outcome.startsWith("fault")) throw new Error(outcome);
    }).rejects.toThrow();
    execFileSync("mount", ["-o", "remount,rw", folder]);
    expect(host.kinds()).toEqual(["started"]);
  });
});

describe("where signing fails there is no entry of it and no place taken:", () => {
  test.each(["signing-failed", "key-unusable"] as const)("with the fault %s", async (code) => {
    const host = await makeHost(cleanup, { rules: TWO });
    const failing = keyThat(host, () => {
      throw new Fault(code, "the key does not sign today");
    });
    for (let count = 0; count < 3; count++) expect(await callWith(failing, host)).toBe(`fault ${code}`);
    expect(host.kinds()).toEqual(["started", "refused", "refused", "refused"]);
    expect(host.entries().at(-1)).toMatchObject({ code, reason: "the key does not sign today", name: NAME });
    expect(await host.outcome(NAME, bytes)).toBe("signed 5");
    expect(await host.outcome(NAME, buildDatabase({ packages: 2, kind: "db" }))).toBe("signed 6");
  });

  test("with a bug", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    const failing = keyThat(host, () => {
      throw new TypeError("undefined is not a function");
    });
    expect(await callWith(failing, host)).toBe("bug TypeError: undefined is not a function");
    expect(host.kinds()).toEqual(["started"]);
    expect(await host.outcome(NAME, bytes)).toBe("signed 2");
  });

  test("with a key file that cannot be read", async () => {
    const host = await makeHost(cleanup, { rules: TWO });
    const keyFile = host.config.keys.values().next().value?.file ?? "";
    const key = readFileSync(keyFile);
    rmSync(keyFile);
    expect(await host.outcome(NAME, bytes)).toBe("fault key-unavailable");
    writeFileSync(keyFile, key, { mode: 0o600 });
    chmodSync(keyFile, 0o604);
    expect(await host.outcome(NAME, bytes)).toBe("fault key-unavailable");
    expect(host.kinds()).toEqual(["started", "refused", "refused"]);
    chmodSync(keyFile, 0o600);
    expect(await host.outcome(NAME, bytes)).toBe("signed 4");
  });
});

test("while the key signs, the entry is not in the log yet; when the receipt is there, it is", async () => {
  const host = await makeHost(cleanup, { rules: TWO });
  const during: (readonly string[])[] = [];
  const watched = keyThat(host, () => during.push(host.kinds()));
  expect(await callWith(watched, host)).toBe("signature");
  expect(during).toEqual([["started"]]);
  expect(host.kinds()).toEqual(["started", "configured", "signed"]);
});

test("an artefact is read once, in order: not before its rules and key are known, not after its end", async () => {
  const host = await makeHost(cleanup, { rules: TWO });
  const source = Readable.from([bytes]);
  let readBeforeKey: boolean | undefined;
  const { loadKey } = host.host;
  const replaced: SigningHost = {
    ...host.host,
    loadKey: (name) => {
      readBeforeKey = source.readableDidRead;
      return loadKey(name);
    },
  };
  const address = parseAddress("192.0.2.10");
  if (address === undefined) throw new Error("no address");
  const caller = { client: "repos", peer: { address, sshKey: undefined } };
  await sign(replaced, { kind: "sign", name: undefined, for: undefined }, caller, source);
  expect(readBeforeKey).toBe(false);
  expect(source.readableEnded).toBe(true);
});

test("a reply takes a receipt, which nothing but the release of a recorded signature makes", async () => {
  const host = await makeHost(cleanup, { rules: TWO });
  const answer = await host.call(NAME, bytes);
  if (answer.kind !== "signature") throw new Error(answer.kind);
  const stdout = new PassThrough();
  // @ts-expect-error: a look-alike lacks the mark that the release alone sets
  const lookAlike: Receipt = { entry: answer.receipt.entry, signature: answer.receipt.signature };
  await reply(stdout, answer.receipt);
  expect(stdout.read()).toEqual(answer.receipt.signature);
  expect(lookAlike.signature).toEqual(Buffer.from(answer.receipt.entry.signature, "base64"));
});

test("a reply to a client that is gone is a fault", async () => {
  const host = await makeHost(cleanup, { rules: TWO });
  const answer = await host.call(NAME, bytes);
  if (answer.kind !== "signature") throw new Error(answer.kind);
  const stdout = new PassThrough();
  stdout.on("error", () => undefined);
  stdout.destroy(new Error("EPIPE"));
  await expect(reply(stdout, answer.receipt)).rejects.toMatchObject({ code: "reply-not-delivered" });
});

/** A file system of its own, of so many KiB; undefined where this account may not mount. */
async function mountSmall(kib: number): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const folder = await tempDir(cleanup);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  cleanup.add(() => execFileSync("umount", ["-l", folder]));
  return folder;
}

/** Writes a file until there is no room. */
function fill(file: string): void {
  expect(() => writeFileSync(file, Buffer.alloc(4 * 1024 * 1024))).toThrow("ENOSPC");
}
