import { linkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Cleanup } from "../test/support/cleanup.ts";
import { buildDatabase } from "../test/support/database-fixture.ts";
import { type FetchingHost, startFetchingHost } from "../test/support/fetching-host.ts";
import type { TrafficCounts } from "../test/support/network-namespace.ts";
import { runOk } from "../test/support/run.ts";
import { makeSigningHost, serveOverSsh } from "../test/support/signing-host.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { measureCalls, median, readPeak } from "./measure.ts";
import { PATH } from "./signing.ts";

const CLIENT = join(import.meta.dirname, "..", "bin", "signer-client");
const PACKAGES = 270;
const RUNS = 15;
/** The source asks every second, with jitter. */
const IDLE_S = 30;

/** What it costs that the signing host asks, instead of being asked: until there is a signature, and while there is nothing to sign. */
export async function fetched(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const server = await startFetchingHost(cleanup);
  return [await untilSigned(cleanup, server), ...(await idle(cleanup, server))];
}

async function untilSigned(cleanup: Cleanup, server: FetchingHost): Promise<Comparison> {
  const host = await makeSigningHost(cleanup);
  const { clientConfig } = await serveOverSsh(cleanup, host);
  const folder = await tempDir(cleanup);
  const publicKeyFile = join(folder, "repo.asc");
  writeFileSync(publicKeyFile, await host.publicKey());
  const overSsh = join(folder, "client.toml");
  writeFileSync(
    overSsh,
    `host = "signer"\nssh_config = "${clientConfig}"\npublic_key = "${publicKeyFile}"\n`,
  );
  let made = 0;
  const sign = async (config: string) => {
    made += 1;
    const database = join(folder, `database-${made}`);
    writeFileSync(database, buildDatabase({ kind: "db", packages: PACKAGES, seed: made }));
    const named = join(folder, `bench-${made}.db.tar.gz`);
    linkSync(database, named);
    await runOk(CLIENT, ["--config", config, "sign", "--quiet", named], { env: { PATH } });
  };
  const times = await measureCalls({ pull: () => sign(server.clientConfig), ssh: () => sign(overSsh) }, RUNS);
  return {
    what: `signer-client, fetched: asked every second, ${PACKAGES} packages`,
    peer: "signer-client over SSH",
    ours: median(times.get("pull") ?? []),
    theirs: median(times.get("ssh") ?? []),
    peakBytes: readPeak(server.pull.pid),
  };
}

/** On the wire, from the IP header on, both ways; next to a cron job that asks with curl, for as many questions. */
async function idle(
  cleanup: Cleanup,
  { network, nginx, authority, certificate }: FetchingHost,
): Promise<readonly Comparison[]> {
  const counted = async (work: () => Promise<unknown>) => {
    const [before, asked] = [await network.counts(), (await nginx.requests()).length];
    await work();
    const after = await network.counts();
    return { bytes: bytesOf(after) - bytesOf(before), asked: (await nginx.requests()).length - asked };
  };
  const ours = await counted(() => delay(IDLE_S * 1000));
  const [command, ...rest] = network.inside;
  const curl = ["curl", "--silent", "--show-error", "--tlsv1.3", "--cacert", authority.caFile];
  curl.push("--cert", certificate.certificateFile, "--key", certificate.keyFile);
  const etag = join(await tempDir(cleanup), "etag");
  curl.push("--etag-save", etag, "--etag-compare", etag, "--output", "/dev/null");
  curl.push(`${nginx.url}/outbox/notification`);
  const ask = () => runOk(command, [...rest, ...curl], { env: { PATH } });
  await ask();
  const theirs = await counted(ask);
  // What the service asked meanwhile is not curl's.
  const perQuestion = Math.round(ours.bytes / ours.asked);
  const byCurl = theirs.bytes - (theirs.asked - 1) * perQuestion;
  const hour = (questions: number) =>
    `idle hour, asked every ${3600 / questions} s: ${questions} questions on one connection`;
  return [3600, 360].map((questions) => ({
    what: hour(questions),
    peer: "curl for each",
    ours: Math.round((perQuestion * questions) / 1000),
    theirs: Math.round((byCurl * questions) / 1000),
    unit: "kB",
  }));
}

function bytesOf({ sent, answers }: TrafficCounts): number {
  return sent.bytes + answers.bytes;
}
