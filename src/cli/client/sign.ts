import { basename } from "node:path";
import { type Command, Option } from "commander";
import { VIAS } from "../../client/client-config.ts";
import { SentStream } from "../../client/sent-file.ts";
import { type FileToSign, type SignOptions, signFiles, signSources } from "../../client/sign-files.ts";
import { writeSignatures } from "../../client/signature-writing.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { parseFileName, parseRequester, type Requester } from "../../request/request.ts";
import { type ClientTools, requesterOf, writeOut } from "./client-tools.ts";

/** What shows how much is sent. */
export interface OnTransfer {
  readonly onProgress: (sent: number, size: number | undefined) => void;
  readonly end: () => void;
}

interface Options {
  readonly output?: string;
  readonly armor?: true;
  readonly for?: string;
  readonly name?: string;
  readonly wait?: true;
  readonly quiet?: true;
  readonly via?: string;
}

/** What `--wait` waits where the configuration says nothing. */
const DEFAULT_WAIT_MS = 5 * 60_000;

const HELP = `
Examples:
  signer-client sign core.db.tar.gz core.files.tar.gz
  signer-client sign -o - --armor image.iso > image.iso.asc
  signer-client sign --name core.db.tar.gz - < core.db.tar.gz > core.db.tar.gz.sig.new`;

/** `sign FILE...` */
export function addSignCommand(program: Command, tools: ClientTools): void {
  program
    .command("sign")
    .description("have files signed; writes FILE.sig beside each once all signatures are verified")
    .argument("<file...>", "files, or - alone for stdin, whose signature goes to stdout")
    .option("-o, --output <file>", "the signature of one file goes there; - for stdout")
    .option("--armor", "write ASCII armor, which pacman does not read")
    .option("--for <who>", "who asks, for the host's log, which notes it as unverified")
    .option("--name <name>", "for stdin: the name that the host's rules go by")
    .addOption(new Option("--wait", "wait for a busy host or a limit, 5 min unless the configuration says"))
    .addOption(
      new Option("--via <way>", "how the host is asked; before via of the configuration").choices(VIAS),
    )
    .option("-q, --quiet", "no progress bar")
    .addHelpText("after", HELP)
    .action(async (files: readonly string[], options: Options) => {
      tools.finish(await sign(tools, files, options));
    });
}

async function sign(
  tools: ClientTools,
  files: readonly string[],
  options: Options,
): Promise<Refusal | undefined> {
  const problem = misuse(files, options);
  if (problem !== undefined) return refusal("bad-request", problem);
  const requester = options.for === undefined ? requesterOf(tools.environment) : parseRequester(options.for);
  if (options.for !== undefined && requester === undefined)
    return refusal("bad-request", "--for: expected 1 to 64 characters of A-Z, a-z, 0-9, @._+-");
  const fromStdin = files[0] === "-";
  const output = options.output ?? (fromStdin ? "-" : undefined);
  if (output === "-" && tools.stdout.isTTY && !options.armor)
    return refusal("bad-request", "a signature is binary: expected -o FILE or --armor on a terminal");

  const signatures = await request(tools, files, options, requester);
  if (isRefusal(signatures)) return signatures;
  const contents = options.armor ? await Promise.all(signatures.map(armor)) : signatures;
  tools.signal.throwIfAborted();
  const [content = new Uint8Array()] = contents;
  if (output === "-") await writeOut(tools.stdout, content);
  else
    writeSignatures(
      files.map((file, index) => ({
        path: output ?? `${file}.sig`,
        content: contents[index] ?? new Uint8Array(),
      })),
    );
  return undefined;
}

async function request(
  tools: ClientTools,
  files: readonly string[],
  options: Options,
  requester: Requester | undefined,
): Promise<readonly Uint8Array[] | Refusal> {
  const configured = tools.readConfig(options.via);
  const waitMs = options.wait ? configured.waitMs || DEFAULT_WAIT_MS : 0;
  const config = { ...configured, waitMs };
  const transfer = options.quiet ? undefined : tools.showTransfer?.();
  const signing: SignOptions = {
    for: requester,
    signal: tools.signal,
    onProgress: transfer?.onProgress,
    onNote: tools.note,
  };
  try {
    if (files[0] === "-") {
      const name = options.name === undefined ? undefined : parseFileName(options.name);
      return await signSources(config, [new SentStream(tools.stdin, name)], signing);
    }
    return await signFiles(config, files.flatMap(fileToSign), signing);
  } finally {
    transfer?.end();
  }
}

function fileToSign(path: string): readonly FileToSign[] {
  const name = parseFileName(basename(path));
  return name === undefined ? [] : [{ path, name }];
}

/** What of the command line does not go together. */
function misuse(files: readonly string[], { output, name }: Options): string | undefined {
  if (files.includes("-") && files.length > 1) return "expected - alone, or files";
  if (output !== undefined && files.length > 1) return "-o: expected one file";
  if (output === "") return "-o: expected a file, or -";
  if (name !== undefined && files[0] !== "-") return "--name: expected - for stdin beside it";
  const given = files[0] === "-" ? name : undefined;
  const odd = (given === undefined ? files : [given]).find(
    (file) => file !== "-" && parseFileName(basename(file)) === undefined,
  );
  if (odd !== undefined || given?.includes("/"))
    return `expected a name of A-Z, a-z, 0-9 and @._+-, not beginning with . or -, not ${quoted(odd ?? given ?? "", 300)}`;
  return undefined;
}

async function armor(signature: Uint8Array): Promise<Uint8Array> {
  const openpgp = await import("openpgp");
  const text = openpgp.armor(openpgp.enums.armor.signature, signature);
  return Buffer.from(String(text).replaceAll("\r\n", "\n"));
}
