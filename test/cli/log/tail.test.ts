import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { at, freshLedger, HOUR, linesOf, refused, sign, tamper } from "../../log/fixture.ts";
import { SIGNER_LOG } from "../../support/signing-host.ts";
import { signerLog } from "./command-line.ts";

/** `signer-log --state DIRECTORY tail ARGS` as a process, which ends with the test at the latest. */
function startTail(directory: string, ...args: string[]) {
  const child = spawn(SIGNER_LOG, ["--state", directory, "tail", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const ended = once(child, "close") as Promise<[status: number | null, signal: NodeJS.Signals | null]>;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return { child, ended, nextLine: async () => String((await lines.next()).value), stderr: () => stderr };
}

describe("tail", () => {
  test("prints the newest ten, oldest first, or as many as asked for", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 1; i <= 15; i++) await sign(ledger, at(i));
    const tail = async (...args: string[]) =>
      (await signerLog(["--state", directory, "tail", "--json", ...args])).text.split("\n").slice(0, -1);
    expect(await tail()).toEqual(linesOf(directory).slice(-10));
    expect(await tail("-n", "2")).toEqual(linesOf(directory).slice(-2));
    expect(await tail("-n", "0")).toEqual([]);
    expect(await tail("--lines", "100")).toEqual(linesOf(directory));
  });

  test("prints a table, of what the filters let through", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(1));
    await sign(ledger, at(2), { name: "extra.db.tar.gz" });
    await ledger.recordRefusal(at(3), refused());
    const { text } = await signerLog(["--state", directory, "tail", "--kind", "signed", "--name", "extra*"]);
    expect(text.split("\n").map((line) => line.trim().split(/ +/)[0])).toEqual(["SEQ", "2", ""]);
  });

  test("refuses what it does not know: 64", async () => {
    const { directory } = freshLedger();
    for (const args of [["-n", "-1"], ["-n", "x"], ["--kind", "sigend"], ["--since", "2d"], ["extra"]])
      expect((await signerLog(["--state", directory, "tail", ...args])).status, args.join(" ")).toBe(64);
  });

  test("with -f prints what comes, and ends by the signal that interrupts it", async () => {
    const { ledger, directory } = freshLedger();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const tail = startTail(directory, "-f", "-n", "1", "--json");
      expect(await tail.nextLine()).toBe(linesOf(directory).at(-1));
      await sign(ledger, at(HOUR));
      expect(await tail.nextLine()).toBe(linesOf(directory).at(-1));
      tail.child.kill(signal);
      expect(await tail.ended).toEqual([null, signal]);
    }
  });

  test("with -f ends well at the next entry where nobody reads any more", async () => {
    const { ledger, directory } = freshLedger();
    const tail = startTail(directory, "-f", "-n", "1", "--json");
    await tail.nextLine();
    tail.child.stdout.destroy();
    await sign(ledger, at(HOUR));
    expect(await tail.ended).toEqual([0, null]);
  });

  test("with -f ends with 69 where the log loses its end", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(1));
    const tail = startTail(directory, "-f", "-n", "1", "--json");
    await tail.nextLine();
    tamper(directory, "DELETE FROM entries WHERE seq = 1");
    expect(await tail.ended).toEqual([69, null]);
    expect(tail.stderr()).toBe("signer-log: log-broken: the log had 2 entries and now has 1\n");
  });
});
