import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";

// The parts that decide see no clock, environment, file or network: what they say depends on their arguments alone, so
// that their tests say everything about them.

const ROOT = join(import.meta.dirname, "..");
const PURE = [
  "src/artefact/*.ts",
  "src/policy/*.ts",
  "src/request/*.ts",
  "src/openpgp/signature*.ts",
  "src/log/{log-entry,merkle,merkle-proof,checkpoint,signed-note,cosignature,log-statistics}.ts",
  "src/log/proof/{tlog-proof,root-before,proof-verification}.ts",
  "src/log/remote/{message,syslog-message,upgrade}.ts",
  "src/ca/{certificate-name,openssl-config}.ts",
  "src/exchange/*.ts",
  "src/pull/{judgement,source-state}.ts",
  "src/service/{frame,relay-message,metrics-text,signing-problems,tally}.ts",
];

/** Modules of Node that a pure part may use, and what of them; `true`: all. */
const ALLOWED: Readonly<Record<string, true | readonly string[]>> = {
  "node:zlib": true,
  "node:events": true,
  "node:buffer": ["isAscii", "isUtf8"],
  "node:crypto": ["createHash", "createPublicKey", "hash", "sign", "verify"],
  "node:net": ["BlockList", "isIP"],
};

/** What needs no import. */
const WORLD = [
  /\bDate\.now\b/,
  /\bnew Date\(\s*\)/,
  /(?<![.\w])Date\(\s*\)/,
  /\bprocess\b/,
  /\bperformance\b/,
  /\bMath\.random\b/,
  /\bset(?:Timeout|Interval|Immediate)\b/,
  /\bfetch\s*\(|\b(?:WebSocket|EventSource)\b/,
  /\bglobalThis\b/,
  /\brequire\b/,
  /\bimport\.meta\b/,
  /\bimport\(/,
  /\beval\b/,
  /\bnew Function\b/,
];

const files = PURE.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).toSorted();

interface Import {
  readonly from: string;
  /** Names, or undefined where the whole module is meant. */
  readonly names: readonly string[] | undefined;
}

/** A module's code, comments and the contents of its string and template literals' plain text left out. */
function codeOf(file: string): string {
  return readFileSync(join(ROOT, file), "utf8")
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/(?<=^|[\s;{(,])\/\/.*$/gm, "");
}

/** What a module imports to run; imports of types are gone by then. */
function importsOf(code: string): readonly Import[] {
  return [...code.matchAll(/^(?:import|export)\s+(?!type\b)(?:([^"';]*?)\s+from\s+)?"([^"]+)";/gm)].map(
    ([, clause, from = ""]) => {
      const braces = /^\{([^}]*)\}$/s.exec(clause ?? "")?.[1];
      const names = braces
        ?.split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "" && !name.startsWith("type "))
        .map((name) => name.split(" as ")[0] ?? name);
      return { from, names };
    },
  );
}

/** What is not pure about a module and all that it imports, each with the way to it. */
function impurities(file: string, seen = new Set<string>()): readonly string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const code = codeOf(file);
  const found = withoutText(code);
  const own = WORLD.filter((pattern) => pattern.test(found)).map(
    (pattern) => `${file} has ${pattern.source}`,
  );
  const imported = importsOf(code).flatMap(({ from, names }) => {
    if (from.startsWith(".")) return impurities(relative(ROOT, join(ROOT, dirname(file), from)), seen);
    const allowed = ALLOWED[from];
    if (allowed === true || (allowed && names?.every((name) => allowed.includes(name)))) return [];
    return [`${file} imports ${names?.join(", ") ?? "everything"} of ${from}`];
  });
  return [...own, ...imported];
}

/** Words in messages are no code. */
function withoutText(code: string): string {
  return code.replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""').replaceAll(/`(?:[^`\\$]|\\.|\$(?!\{))*`/g, "``");
}

test("the pure parts are there", () => {
  for (const folder of ["artefact", "policy", "request", "openpgp", "log"])
    expect(
      files.some((file) => file.startsWith(`src/${folder}/`)),
      folder,
    ).toBe(true);
  expect(files.every((file) => existsSync(join(ROOT, file)))).toBe(true);
});

test.each(files)("%s sees no clock, environment, file or network", (file) => {
  expect(impurities(file)).toEqual([]);
});

describe("this test finds", () => {
  test.each([
    "const now = new Date();",
    "const now = Date.now();",
    'const home = process.env["HOME"];',
    "setTimeout(() => undefined, 1);",
    'const fs = await import("node:fs");',
    "const a = `$" + "{process.pid}`;",
  ])("%j", (code) => {
    expect(WORLD.some((pattern) => pattern.test(withoutText(code)))).toBe(true);
  });

  test("what is imported, on one line or several, and passes types by", () => {
    const code = `import { readFileSync } from "node:fs";
import type { Stats } from "node:fs";
import {
  connect,
  type Socket,
} from "node:net";
import * as os from "node:os";
import "node:child_process";
export { x } from "./x.ts";
`;
    expect(importsOf(code)).toEqual([
      { from: "node:fs", names: ["readFileSync"] },
      { from: "node:net", names: ["connect"] },
      { from: "node:os", names: undefined },
      { from: "node:child_process", names: undefined },
      { from: "./x.ts", names: ["x"] },
    ]);
  });

  test("no clock in a date of something, or in a word", () => {
    const code =
      'const date = new Date(seconds * 1000); // process\nconst text = "the process of new Date()";';
    expect(WORLD.filter((pattern) => pattern.test(withoutText(code.replace(/\/\/.*/, ""))))).toEqual([]);
  });
});
