import { type Command, InvalidArgumentError } from "commander";
import { type AuditOptions, type AuditReport, audit, type ComparedLog } from "../../log/audit/audit.ts";
import { storedLog } from "../../log/audit/audited-log.ts";
import type { Finding } from "../../log/audit/finding.ts";
import { OurKeys } from "../../log/audit/our-keys.ts";
import { publishedLog } from "../../log/audit/published-log.ts";
import { encodeCanonicalJson } from "../../log/canonical-json.ts";
import type { VerifierKey } from "../../log/signed-note.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type NamePattern, parseNamePattern } from "../../policy/name-pattern.ts";
import { readGivenFile, readLogKeyOption, readWitnessKeys } from "./given-file.ts";
import { type LogTools, MOMENTS, momentOption } from "./log-tools.ts";
import { coloured, type Output, printable } from "./output.ts";

interface AuditFlags {
  readonly tiles?: string;
  readonly key?: string;
  readonly witness?: readonly string[];
  readonly openpgp: readonly string[];
  readonly ignore?: readonly NamePattern[];
  readonly since?: Date;
  readonly until?: Date;
  readonly json?: boolean;
}

/** What is the same whatever form the log has. */
type Demands = Omit<AuditOptions, "log" | "verifier">;

/** No certificate with all its certifications is larger. */
const MAX_CERTIFICATE_BYTES = 1024 * 1024;

/** `signer-log audit`. */
export function addAuditCommand(program: Command, tools: LogTools): void {
  program
    .command("audit")
    .description("hold a published tree against the log, both ways: a repository server, a mirror")
    .argument("<directory>", "the tree")
    .requiredOption(
      "--openpgp <file>",
      "the public key that signs; more than once where there are or were several",
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option("--tiles <directory>", "the log as an exported folder, instead of a log on this machine")
    .option(
      "--key <key>",
      "the log's key, as signer-log key printed it, or @ and a file of it (default, but for --tiles: the one beside the log)",
    )
    .option(
      "--witness <key>",
      "key of a witness that must have cosigned, or @ and a file of it; more than once for several",
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option(
      "--ignore <name>",
      "a name that need not be in the tree; * stands for anything; more than once for several",
      ignoreOption,
    )
    .option(
      "--since <moment>",
      "what was signed before need not be in the tree any more",
      momentOption(tools.now),
    )
    .option("--until <moment>", "what was signed from then on need not be in it yet", momentOption(tools.now))
    .option("--json", "each finding on a line, as JSON, and nothing else")
    .addHelpText(
      "after",
      `${MOMENTS}

Example:
  signer-log audit /srv/mirror --openpgp repo.asc --until 6h \\
      --tiles /srv/log --key @log.pub --witness @witness.pub`,
    )
    .action((folder: string, flags: AuditFlags) => runAudit(folder, flags, tools));
}

function ignoreOption(value: string, before: readonly NamePattern[] = []): readonly NamePattern[] {
  const pattern = parseNamePattern(value);
  if (pattern === undefined)
    throw new InvalidArgumentError("expected a file's name, in which * stands for anything");
  return [...before, pattern];
}

async function runAudit(folder: string, flags: AuditFlags, tools: LogTools): Promise<void> {
  const { tiles, since, until, ignore = [], json = false } = flags;
  const { state, log } = tools.where();
  if (tiles !== undefined && (state ?? log) !== undefined)
    return tools.finish(
      refusal("bad-request", "--tiles is a log of its own: expected no --state or --log beside it"),
    );
  const key = flags.key === undefined ? undefined : readLogKeyOption("--key", flags.key);
  if (isRefusal(key)) return tools.finish(key);
  const witnesses = readWitnessKeys(flags.witness ?? [], key);
  if (isRefusal(witnesses)) return tools.finish(witnesses);
  const keys = readOpenpgpKeys(flags.openpgp);
  if (isRefusal(keys)) return tools.finish(keys);
  const { now, onProgress, output } = tools;
  const demands: Demands = { witnesses, keys, ignore, since, until, now, onProgress };
  const work = async (log: AuditOptions["log"], verifier: VerifierKey) => {
    const report = await audit(folder, { ...demands, log, verifier });
    await (json ? printJson(report.findings, output) : printReport(report, verifier, demands, output));
    await output.flush();
    const count = report.findings.length;
    return count === 0
      ? undefined
      : refusal("audit-failed", `${counted(count, "finding")}: the tree and the log do not agree`);
  };
  if (tiles !== undefined) {
    if (key === undefined)
      return tools.finish(
        refusal(
          "bad-request",
          "an exported log is verified with its key: expected --key, as signer-log key prints it",
        ),
      );
    return tools.finish(await work(publishedLog(tiles), key));
  }
  return tools.withLog(async (reader) => {
    const verifier = key ?? reader.heldVerifier();
    if (verifier === undefined)
      return refusal(
        "bad-request",
        "no key is beside this copy of a log: expected --key, as signer-log key prints it",
      );
    return work(storedLog(reader, verifier), verifier);
  });
}

function readOpenpgpKeys(files: readonly string[]): OurKeys | Refusal {
  const keys = new OurKeys();
  for (const file of files) {
    const content = readGivenFile(file, MAX_CERTIFICATE_BYTES);
    if (content === undefined)
      return refusal("bad-request", `--openpgp ${quoted(file, 200)}: it cannot be read`);
    const problem = keys.add(content);
    if (problem !== undefined)
      return refusal("bad-request", `--openpgp ${quoted(file, 200)}: ${problem.reason}`);
  }
  return keys;
}

async function printJson(findings: readonly Finding[], output: Output): Promise<void> {
  for (const { code, file, seq, what } of findings) {
    // Canonical JSON is printable ASCII, whatever a file is called.
    if (!(await output.line(encodeCanonicalJson({ code, file, seq, what })))) return;
  }
}

async function printReport(
  { findings, tree, compared }: AuditReport,
  verifier: VerifierKey,
  demands: Demands,
  output: Output,
): Promise<void> {
  await printTable(findings, output);
  if (findings.length > 0) await output.line();
  const { signatures, foreign, linksOutside } = tree;
  await output.line(
    `${counted(signatures.length, "signature")} of ours, ${foreign} other .sig files left alone`,
  );
  if (signatures.length === 0) await output.line("(is this the tree, and --openpgp the key that signs?)");
  for (const link of linksOutside)
    await output.line(`not looked at: ${printable(link)}, a link to a folder outside of the tree`);
  if (compared === undefined) await output.line("nothing in the tree was compared with the log");
  else for (const line of compare(compared, demands)) await output.line(line);
  const verdict =
    findings.length === 0
      ? `the tree and the log ${printable(verifier.name)} agree`
      : counted(findings.length, "finding");
  await output.line(verdict);
}

function* compare(log: ComparedLog, { witnesses }: Demands): Generator<string> {
  yield `${counted(log.size, "entry", "entries")} in the log, whose tree has the root of its checkpoint`;
  for (const { witness, head, at } of log.cosigned)
    yield `${printable(witness.name)} vouches for the first ${head.size} of them, at ${at.toISOString().replace(".000", "")}`;
  if (witnesses.length === 0) yield "(only --witness shows that the log is the one that others see)";
  if (log.beyondWitnesses > 0)
    yield `${counted(log.beyondWitnesses, "signature")} in the tree beyond what a witness vouches for`;
  yield `${counted(log.expected, "name")} looked for in the tree${log.excused === 0 ? "" : `, ${log.excused} excused by the options`}`;
  if (log.nameless > 0)
    yield `${counted(log.nameless, "signature")} in the log without a name, not looked for`;
  for (const file of log.olderElsewhere)
    yield `an older state, its newest being elsewhere in the tree: ${printable(file)}`;
}

/** Code, entry, file and what is wrong, which is never cut. */
async function printTable(findings: readonly Finding[], output: Output): Promise<void> {
  const rows = findings.map(({ code, seq, file, what }) => [
    code,
    seq === undefined ? "" : String(seq),
    printable(file ?? ""),
    printable(what),
  ]);
  const all = [["FINDING", "ENTRY", "FILE", "WHAT"], ...rows];
  if (rows.length === 0) return;
  const widths = [0, 1, 2].map((i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const [codes = 0, numbers = 0, files = 0] = widths;
  for (const [i, [code = "", seq = "", file = "", what = ""]] of all.entries()) {
    const head = coloured(output.look, i === 0 ? "bold" : "red", code.padEnd(codes));
    if (!(await output.line(`${head}  ${seq.padStart(numbers)}  ${file.padEnd(files)}  ${what}`))) return;
  }
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
