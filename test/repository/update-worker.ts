import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isRefusal } from "../../src/outcome.ts";
import { parseDatabasePath } from "../../src/repository/database-path.ts";
import { parseRepoAddArguments, parseRepoAddVersion } from "../../src/repository/repo-add-arguments.ts";
import { updateRepository } from "../../src/repository/update.ts";

/**
 * A process that runs our repo-add with the arguments given, for tests that take its life. Signatures are the stand-ins of the
 * fixture beside it. Ends with 0 where the update is done.
 */
const version = parseRepoAddVersion("repo-add (pacman) 6.0.2\n");
if (version === undefined) throw new Error("not a version");
const args = parseRepoAddArguments(process.argv.slice(2), version);
if (isRefusal(args)) throw new Error(args.reason);
const repository = parseDatabasePath(args.operands[0] ?? "", process.cwd());
if (repository === undefined) throw new Error("not a database's path");

const outcome = await updateRepository(
  { program: "repo-add", version, args, repository },
  {
    sign: async (files) =>
      files.map(({ path }) => {
        const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
        return Buffer.from(`${digest} ${process.hrtime.bigint()}\n`);
      }),
    verify: async () => undefined,
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    cwd: process.cwd(),
    now: Date.now,
    note: () => undefined,
    tell: () => undefined,
    signal: new AbortController().signal,
  },
);
process.exitCode = outcome.kind === "done" ? 0 : 1;
