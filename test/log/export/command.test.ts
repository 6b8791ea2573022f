import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { signerLog } from "../../cli/log/command-line.ts";
import { at, freshDirectory, freshLedger, HOUR, linesOf, sign } from "../fixture.ts";

async function sampleLog(): Promise<string> {
  const { ledger, directory } = freshLedger();
  for (let hour = 1; hour <= 4; hour++)
    await sign(ledger, at(hour * HOUR), { extra: { private: { for: "alice" } } });
  return directory;
}

const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");

describe("export --json", () => {
  test("prints every entry just as it is logged, and nothing that is about people", async () => {
    const directory = await sampleLog();
    const { status, text: printed } = await signerLog(["--state", directory, "export", "--json"]);
    expect(status).toBe(0);
    expect(printed).toBe(text(linesOf(directory)));
    expect(printed).not.toContain("alice");
  });

  test.each([
    [
      ["--since", "2"],
      [2, 3, 4],
    ],
    [
      ["--until", "2"],
      [0, 1],
    ],
    [
      ["--since", "1", "--until", "3"],
      [1, 2],
    ],
    [
      ["--since", "2026-11-23T14:00:00Z"],
      [2, 3, 4],
    ],
    [
      ["--since", "2026-11-23T13:30:00Z", "--until", "4"],
      [2, 3],
    ],
    [["--since", "3", "--until", "2"], []],
    [["--since", "99"], []],
  ])("%j takes entries %j", async (args, wanted) => {
    const directory = await sampleLog();
    const lines = linesOf(directory);
    const { text: printed } = await signerLog(["--state", directory, "export", "--json", ...args]);
    expect(printed).toBe(text(wanted.map((seq) => lines[seq] ?? "")));
  });

  test("writes a file that takes an older one's place when it is complete", async () => {
    const directory = await sampleLog();
    const folder = freshDirectory();
    const file = join(folder, "entries.jsonl");
    writeFileSync(file, "old");
    const { status, text: printed } = await signerLog(["--state", directory, "export", "--json", "-o", file]);
    expect([status, printed]).toEqual([0, ""]);
    expect(readFileSync(file, "utf8")).toBe(text(linesOf(directory)));
    expect(readdirSync(folder)).toEqual(["entries.jsonl"]);
  });

  test("never puts a file in the place of something else", async () => {
    const directory = await sampleLog();
    const folder = join(freshDirectory(), "folder");
    mkdirSync(folder);
    const args = ["--state", directory, "export", "--json", "-o"];
    expect((await signerLog([...args, folder])).status).toBe(64);
    expect((await signerLog([...args, "/dev/null"])).status).toBe(64);
    expect((await signerLog([...args, join(folder, "missing", "file")])).status).toMatch(
      /^reply-not-delivered:/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("export --tiles", () => {
  test("says what it wrote, and then that there is nothing new", async () => {
    const directory = await sampleLog();
    const args = ["--state", directory, "export", "--tiles", join(freshDirectory(), "log")];
    expect((await signerLog(args)).text).toBe("5 entries, 5 of them new; 3 files written\n");
    expect(await signerLog(args)).toMatchObject({
      status: 0,
      text: "nothing new: the folder holds 5 entries\n",
    });
    expect((await signerLog([...args, "--quiet"])).text).toBe("");
  });
});

test.each([
  [[]],
  [["--json", "--tiles", "DIR"]],
  [["--tiles", "DIR", "--since", "1"]],
  [["--tiles", "DIR", "-o", "file"]],
  [["--json", "--cosigned"]],
  [["--json", "--since", "last week"]],
  [["--json", "--since", "01"]],
])("a command line that cannot be meant is refused: %j", async (args) => {
  const directory = await sampleLog();
  const folder = join(freshDirectory(), "log");
  const given = args.map((arg) => arg.replace("DIR", folder));
  expect((await signerLog(["--state", directory, "export", ...given])).status).toBe(64);
  expect(existsSync(folder)).toBe(false);
});
