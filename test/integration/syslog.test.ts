import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CanonicalValue } from "../../src/log/canonical-json.ts";
import { encodeCanonicalJson } from "../../src/log/canonical-json.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Collector, startRsyslog } from "../support/rsyslog.ts";
import { ANY_RULES, makeSigningHost, outcome, type SigningHostUnderTest } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;
let journal: string;

beforeAll(async () => {
  authority = await makeAuthority(cleanup);
  certificate = await authority.issue();
  journal = join(await tempDir(cleanup), "journal");
});
afterAll(() => cleanup.run());

/** A signing host that tells the collector on this port. */
function hostWith(port: number, caFile = authority.caFile): Promise<SigningHostUnderTest> {
  const remoteLog = `[[remote_log]]
type = "syslog"
name = "siem"
host = "localhost"
port = ${port}
ca = "${caFile}"
timeout = "1 s"
`;
  return makeSigningHost(cleanup, { settings: `journal = "${journal}"`, rules: `${ANY_RULES}${remoteLog}` });
}

function collector(): Promise<Collector> {
  return startRsyslog(cleanup, { ...certificate, caFile: authority.caFile });
}

function offer(host: SigningHostUnderTest, seed: number) {
  const stdin = buildDatabase({ packages: 2, kind: "db", seed });
  return host.accept({ command: "core.db.tar.gz", stdin });
}

/** The lines of a host's log, as their canonical form makes them again. */
function linesOf(host: SigningHostUnderTest): readonly string[] {
  return host.entries().map((entry) => encodeCanonicalJson(entry as unknown as CanonicalValue));
}

describe("signer accept with a syslog collector", () => {
  test("signs, and what arrives is the log", async () => {
    const server = await collector();
    const host = await hostWith(server.port);
    expect(outcome(await offer(host, 1))).toBe("signed");
    expect(outcome(await host.accept({ command: "core.db.tar.gz", stdin: "no database" }))).not.toBe(
      "signed",
    );
    expect(outcome(await offer(host, 2))).toBe("signed");

    const texts = await server.texts(linesOf(host).length + 2);
    expect(texts.filter((text) => !text.startsWith('{"checkpoint"'))).toEqual(linesOf(host));
    expect(host.requests().map(({ kind }) => kind)).toEqual(["signed", "refused", "signed"]);
    expect(texts.at(-1)).toContain(`${host.entries().length}\\n`);
    expect(texts.join("\n")).not.toContain("127.0.0.1");
  });

  test("signs all the same where nobody listens, and the next request brings what is missing", async () => {
    const first = await collector();
    const { port } = first;
    await first.stop();
    const host = await hostWith(port);
    expect(outcome(await offer(host, 1))).toBe("signed");
    expect(await readFile(journal, "utf8")).toContain(
      `the syslog collector localhost:${port} does not listen`,
    );

    const second = await collector();
    const config = await readFile(host.configFile, "utf8");
    await writeFile(host.configFile, config.replace(`port = ${port}`, `port = ${second.port}`));
    expect(outcome(await offer(host, 2))).toBe("signed");
    const texts = await second.texts(linesOf(host).length + 1);
    expect(texts.filter((text) => !text.startsWith('{"checkpoint"'))).toEqual(linesOf(host));
  });

  test("signs all the same where the collector hangs, or another CA vouches for it", async () => {
    const silent = createServer((socket) => void socket.on("error", () => undefined)).listen(0, "localhost");
    await once(silent, "listening");
    cleanup.add(() => silent.close());
    const { port } = silent.address() as { port: number };
    expect(outcome(await offer(await hostWith(port), 1))).toBe("signed");
    expect(await readFile(journal, "utf8")).toContain(`localhost:${port} did not answer within 1000 ms`);

    const server = await collector();
    const other = await makeAuthority(cleanup);
    expect(outcome(await offer(await hostWith(server.port, other.caFile), 1))).toBe("signed");
    expect(await readFile(journal, "utf8")).toContain("vouches for");
    await server.stop();
    expect(await server.texts()).toEqual([]);
  });
});
