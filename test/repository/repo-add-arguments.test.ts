import { describe, expect, test } from "vitest";
import { isRefusal } from "../../src/outcome.ts";
import { parseDatabasePath } from "../../src/repository/database-path.ts";
import { parseRepoAddArguments, parseRepoAddVersion } from "../../src/repository/repo-add-arguments.ts";
import { versionOf } from "./fixture.ts";

const OLD = versionOf("6.0.2");
const NEW = versionOf("7.1.0");

function parse(argv: readonly string[], version = NEW) {
  const args = parseRepoAddArguments(argv, version);
  return isRefusal(args) ? args.code : args;
}

describe("the version installed", () => {
  test.each([
    ["6.0.2", false, 1],
    ["6.1.0", true, 1],
    ["7.0.0.r6.gc685ae6", true, 1],
    ["7.1.0", true, 2],
    ["v10.0.0", true, 2],
  ] as const)(
    "%s says how options are read and how a held lock ends",
    (text, readsLikeGetopt, lockedStatus) => {
      const output = `repo-add (pacman) ${text}\n\nCopyright`;
      expect(parseRepoAddVersion(output)).toEqual({ text, readsLikeGetopt, lockedStatus });
    },
  );

  test.each(["", "repo-add", "repo-add (pacman) six\n", "bash: repo-add (pacman) 6.0.2\n"])(
    "%j is no version",
    (output) => expect(parseRepoAddVersion(output)).toBeUndefined(),
  );
});

describe("options", () => {
  test("what repo-add does well is left to it, the rest is done here, in any order", () => {
    const argv = ["-q", "db", "--nocolor", "-s", "-n", "a", "-k", "KEY", "-v", "-R", "-p", "-w"];
    for (const version of [OLD, NEW])
      expect(parse(argv, version)).toEqual({
        passed: ["--quiet", "--nocolor", "--new", "--prevent-downgrade"],
        operands: ["db", "a"],
        quiet: true,
        removeOld: true,
        verify: true,
        key: "KEY",
        wait: true,
        recover: false,
        for: undefined,
        config: undefined,
      });
  });

  test("ours are read with every version, their values behind them or after =", () => {
    for (const version of [OLD, NEW]) {
      const ours = { recover: true, for: "alice", config: "/c", operands: ["db"] };
      expect(parse(["--recover", "--for", "alice", "--config", "/c", "db"], version)).toMatchObject(ours);
      expect(parse(["--recover", "--for=alice", "--config=/c", "db"], version)).toMatchObject(ours);
    }
  });

  test("before 6.1 each is a word of its own, and what is none is a package", () => {
    const words = ["-qn", "--", "--key=K", "--include-sigs", "--rem", "-x", "--quiet=1", "-"];
    expect(parse(["db", ...words], OLD)).toMatchObject({ operands: ["db", ...words], passed: [] });
  });

  test("from 6.1 on they are read as by getopt", () => {
    expect(parse(["-qnR", "db", "-kKEY", "--include-sigs", "--", "-q"])).toMatchObject({
      passed: ["--quiet", "--new", "--include-sigs"],
      removeOld: true,
      key: "KEY",
      operands: ["db", "-q"],
    });
    expect(parse(["--key=K", "--rem", "--wait", "-sk", "L", "-"])).toMatchObject({
      key: "L",
      removeOld: true,
      wait: true,
      operands: ["-"],
    });
  });

  test.each([
    ["-x"],
    ["-qx"],
    ["--bogus"],
    ["--n"], // new, nocolor
    ["--quiet=1"],
    ["--reco"], // ours are never cut short: --remove would be meant by --re
    ["--key"],
    ["-k"],
    ["--for"],
  ])("from 6.1 on %j is refused", (...argv) => {
    expect(parse(["db", ...argv])).toBe("bad-request");
  });

  test("--unsigned-ok does not exist", () => {
    expect(parse(["--unsigned-ok", "db"])).toBe("bad-request");
    expect(parse(["db", "--unsigned-ok"], OLD)).toMatchObject({ operands: ["db", "--unsigned-ok"] });
  });
});

describe("the database's path", () => {
  test("names both databases and both links, in its folder", () => {
    for (const [path, cwd] of [
      ["core.db.tar.gz", "/srv/a b"],
      ["/srv/a b/core.db.tar.gz", "/"],
      ["../a b/./core.db.tar.gz", "/srv/x"],
    ] as const)
      expect(parseDatabasePath(path, cwd)).toEqual({
        folder: "/srv/a b",
        names: { db: "core.db.tar.gz", files: "core.files.tar.gz" },
        links: { db: "core.db", files: "core.files" },
      });
    expect(parseDatabasePath("x.db.y.db.tar", "/")).toMatchObject({ links: { db: "x.db.y.db" } });
    expect(parseDatabasePath("x.db.tar.zst", "/")?.names.files).toBe("x.files.tar.zst");
  });

  test.each([
    "",
    ".",
    "core",
    "core.db",
    "core.db.tar.gz/",
    "core.files.tar.gz",
    "core.db.tar.xz",
    "core.db.tar.gz.sig",
    "core.db.tar.gz.old",
    "-core.db.tar.gz",
    ".core.db.tar.gz",
    "local.db.tar.gz",
    "c ore.db.tar.gz",
    "core\n.db.tar.gz",
    "core.db.tar.gz\0",
    `${"x".repeat(250)}.db.tar.gz`,
  ])("%j is none that is signed", (path) => expect(parseDatabasePath(path, "/srv")).toBeUndefined());
});
