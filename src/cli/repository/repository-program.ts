import { statSync } from "node:fs";
import { basename } from "node:path";
import { parseArtefactName } from "../../artefact/artefact-name.ts";
import { type Code, EXIT, Fault, isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { parseDatabasePath, type RepositoryPath } from "../../repository/database-path.ts";
import { runProgram } from "../../repository/program.ts";
import {
  parseRepoAddArguments,
  parseRepoAddVersion,
  type RepoAddVersion,
  type RepoProgram,
} from "../../repository/repo-add-arguments.ts";
import { repositoryFault } from "../../repository/repository-fault.ts";
import { type UpdateOutcome, type UpdatePorts, updateRepository } from "../../repository/update.ts";
import type { Requester } from "../../request/request.ts";
import { VERSION } from "../version.ts";
import { helpOf } from "./help.ts";
import type { RepositoryEnvironment } from "./repository-environment.ts";
import { chooseRequester } from "./requester.ts";

/** How to have databases signed and signatures verified, as the client's configuration says. */
export type Signing = Pick<UpdatePorts, "sign" | "verify">;

/** What the program needs of the process. */
export interface RepositoryContext {
  readonly environment: RepositoryEnvironment;
  readonly cwd: string;
  readonly write: (text: string) => void;
  /** One coded line on stderr. */
  readonly say: (code: Code, reason: string) => void;
  /** One line on stderr that is no failure. */
  readonly note: (text: string) => void;
  /** Reads the client's configuration: a fault where something is missing in it. */
  readonly openSigning: (options: {
    readonly config: string | undefined;
    readonly requester: Requester | undefined;
  }) => Promise<Signing>;
  readonly signal: AbortSignal;
}

/** What repo-add ends with, whatever it is that it does not like. */
const REPO_ADD_FAILED = 1;

/** The whole of `signer-repo-add` or `signer-repo-remove`. Returns the exit status. */
export async function runRepositoryProgram(
  program: RepoProgram,
  argv: readonly string[],
  context: RepositoryContext,
): Promise<number> {
  if (argv[0] === "-h" || argv[0] === "--help") return write(context, helpOf(program), 0);
  const version = await installedVersion(program, context);
  if (argv[0] === "-V" || argv[0] === "--version")
    return write(context, `signer-${program} ${VERSION}, runs ${program} (pacman) ${version.text}\n`, 0);
  const args = parseRepoAddArguments(argv, version);
  if (isRefusal(args)) return complain(context, args, REPO_ADD_FAILED);
  const [database] = args.operands;
  if (database === undefined) return write(context, helpOf(program), REPO_ADD_FAILED);
  const repository = readDatabasePath(database, context.cwd);
  if (isRefusal(repository)) {
    const status = repository.code === "bad-request" ? REPO_ADD_FAILED : EXIT[repository.code];
    return complain(context, repository, status);
  }
  const { environment, note, signal, cwd } = context;
  const requester = chooseRequester({
    sudoUser: environment.sudoUser,
    option: args.for,
    environment: environment.requester,
  });
  if (isRefusal(requester)) return complain(context, requester, EXIT[requester.code]);
  if (environment.sudoUser !== undefined && (args.config ?? environment.clientConfig) !== undefined)
    // It names programs, and the key that they run with is not the caller's.
    return complain(context, refusal("bad-request", "expected no --config under sudo"), EXIT["bad-request"]);
  if (args.key !== undefined && !args.quiet) note("the signing host's rules choose the key: -k is ignored");

  try {
    const signing = args.recover ? notNeeded : await context.openSigning({ config: args.config, requester });
    const tell = (text: string) => (args.quiet ? undefined : context.write(`${text}\n`));
    const outcome = await updateRepository(
      { program, version, repository, args },
      { ...signing, env: environment.programs, cwd, now: Date.now, note, tell, signal },
    );
    return statusOf(outcome, version, context);
  } catch (error) {
    if (!signal.aborted || error instanceof Fault) throw repositoryFault(error);
    note("ended by a signal: nothing was published");
    return REPO_ADD_FAILED;
  }
}

const notNeeded: Signing = {
  sign: () => Promise.reject(new Error("nothing is signed while recovering")),
  verify: () => Promise.reject(new Error("nothing is verified while recovering")),
};

function statusOf(outcome: UpdateOutcome, version: RepoAddVersion, context: RepositoryContext): number {
  switch (outcome.kind) {
    case "done":
      return 0;
    case "repo-add-failed":
      return outcome.status;
    case "refusal":
      return complain(context, outcome, EXIT[outcome.code]);
    case "bad-signature":
      context.say(
        "signing-failed",
        `expected a good signature of ${outcome.name}: ${quoted(outcome.objection, 200)}`,
      );
      return REPO_ADD_FAILED;
    case "held": {
      const holder = outcome.holder === "" ? "another process" : `process ${quoted(outcome.holder)}`;
      context.say(
        "busy",
        `expected ${quoted(outcome.lockFile, 300)} to be free, ${holder} holds it; -w waits`,
      );
      return version.lockedStatus;
    }
  }
}

/** Asks the program itself: which options it takes, and how it ends, depends on its version. */
async function installedVersion(
  program: RepoProgram,
  { environment, cwd }: RepositoryContext,
): Promise<RepoAddVersion> {
  const { stdout } = await runProgram("repo-add", ["--version"], {
    env: environment.programs,
    cwd,
    output: "collect",
    maxBytes: 64 * 1024,
  });
  const version = parseRepoAddVersion(stdout.toString("latin1"));
  if (version !== undefined) return version;
  throw new Fault("bad-configuration", `expected pacman's ${program} on ${environment.programs["PATH"]}`);
}

function readDatabasePath(path: string, cwd: string): RepositoryPath | Refusal {
  const repository = parseDatabasePath(path, cwd);
  if (repository === undefined) {
    const unsupported = parseArtefactName(basename(path))?.unsupported;
    return unsupported === undefined
      ? refusal("bad-request", `expected a database such as core.db.tar.gz, not ${quoted(path, 200)}`)
      : refusal("unsupported-compression", `expected .db.tar, .db.tar.gz or .db.tar.zst, not ${unsupported}`);
  }
  if (statSync(repository.folder, { throwIfNoEntry: false })?.isDirectory()) return repository;
  return refusal("bad-request", `expected ${quoted(repository.folder, 300)} to be a directory`);
}

function complain({ say }: RepositoryContext, { code, reason }: Refusal, status: number): number {
  say(code, reason);
  return status;
}

function write(context: RepositoryContext, text: string, status: number): number {
  context.write(text);
  return status;
}
