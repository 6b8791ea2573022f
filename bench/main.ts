/**
 * `npm run bench [-- database | files | image | service | client | repository | pull | log | verify …]`: how long requests, and work on a long log, take, next to programs that do a part of the work, measured
 * in turns in the same run. The table is for people: nothing fails because a machine is slow.
 */
import { cpus, loadavg } from "node:os";
import { Cleanup } from "../test/support/cleanup.ts";
import { acceptDatabase } from "./accept-database.ts";
import { throughSsh } from "./client.ts";
import { type Comparison, table } from "./comparison.ts";
import { acceptFilesDatabase } from "./files-database.ts";
import { acceptImage } from "./image.ts";
import { largeLog } from "./log/large-log.ts";
import { verifyLogs } from "./log/log-verification.ts";
import { publication } from "./publication.ts";
import { fetched } from "./pull.ts";
import { throughService } from "./service.ts";
import { makeSigners, type Signers } from "./signing.ts";

const LINES: Readonly<
  Record<string, (cleanup: Cleanup, signers: Signers) => Promise<readonly Comparison[]>>
> = {
  database: acceptDatabase,
  files: acceptFilesDatabase,
  image: acceptImage,
  service: throughService,
  client: throughSsh,
  repository: publication,
  pull: fetched,
  log: largeLog,
  verify: verifyLogs,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in LINES));
if (unknown !== undefined) {
  process.stderr.write(`bench: expected ${Object.keys(LINES).join(", ")}, got ${unknown}\n`);
  process.exit(64);
}

const cleanup = new Cleanup();
process.on("SIGINT", () => void cleanup.run().finally(() => process.exit(130)));
try {
  const signers = await makeSigners(cleanup);
  const comparisons: Comparison[] = [];
  const load = () => loadavg()[0]?.toFixed(1);
  const [cpu] = cpus();
  process.stdout.write(
    `${cpus().length} × ${cpu?.model}, Node ${process.versions.node}, load before ${load()}`,
  );
  for (const [name, compare] of Object.entries(LINES)) {
    if (wanted.length === 0 || wanted.includes(name)) comparisons.push(...(await compare(cleanup, signers)));
  }
  process.stdout.write(`, after ${load()}. Medians of wall time.\n\n${table(comparisons)}\n`);
} finally {
  await cleanup.run();
}
