import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/run.ts";
import { makeSigningHost, rule, SIGNER } from "../support/signing-host.ts";
import { hasStrace } from "../support/strace.ts";
import { ServerFolder } from "./announcer.ts";
import { makeEnclave } from "./enclave.ts";
import { makeSite } from "./site.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** System calls by which it changes something, here or on the server: what is between two of them no crash can tell apart. */
const CALLS = ["fsync", "fdatasync", "pwrite64", "write", "writev"] as const;
/** Of each, so many occasions, from the first to the last. */
const OCCASIONS = 3;

test("killed at whatever moment and run again, each request has one answer and one place in its limit", async () => {
  if (!hasStrace()) return;
  const { authority, certificate, announcer } = await makeSite(cleanup);
  const nginx = await startNginx(cleanup, { authority });
  const server = new ServerFolder(nginx.folder, announcer);
  const most = 2 * (1 + CALLS.length * OCCASIONS);
  const host = await makeSigningHost(cleanup, {
    rules: rule({ id: "all", type: "db", limits: [`${most} per day`] }),
  });
  const source = { url: nginx.url, authority, certificate, notificationKey: announcer.publicKey };
  const enclave = makeEnclave(cleanup, host, [source]);
  let seed = 0;
  const offerTwo = () =>
    server.offer(
      ["core", "extra"].map((name) => {
        seed += 1;
        return { name: `${name}.db.tar.gz`, bytes: buildDatabase({ packages: 1, kind: "db", seed }) };
      }),
    );
  const traced = (...expressions: readonly string[]) =>
    run("strace", [
      ...["-f", "-qq", ...expressions.flatMap((each) => ["-e", each])],
      ...[SIGNER, "--config", host.configFile, "pull", "--once"],
    ]);

  const offered = [...(await offerTwo())];
  const probe = await traced(`trace=${CALLS.join()}`, "signal=none");
  expect(probe.status, probe.stderr).toBe(0);
  let killed = 0;
  for (const call of CALLS) {
    const count = probe.stderr.split("\n").filter((line) => new RegExp(`\\b${call}\\(`).test(line)).length;
    const step = Math.max(1, count / OCCASIONS);
    for (let nth = 1; Math.floor(nth) <= count; nth += step) {
      const requests = await offerTwo();
      offered.push(...requests);
      const when = Math.floor(nth);
      const { signal, status } = await traced(`trace=${call}`, `inject=${call}:signal=KILL:when=${when}`);
      if (signal !== undefined || status !== 0) killed += 1;
      const { status: again, stderr } = await enclave.once();
      expect({ again, stderr }, `${call} ${when}`).toEqual({ again: 0, stderr: "" });
      expect(requests.map((request) => server.answerCode(request))).toEqual(["sig", "sig"]);
    }
  }
  expect(killed).toBeGreaterThan(6);
  const entries = host.requests();
  const signed = entries.filter(({ kind }) => kind === "signed");
  expect(signed.map((entry) => ("sha256" in entry ? entry.sha256 : "")).toSorted()).toEqual(
    offered.map(({ sha256 }) => sha256).toSorted(),
  );
  expect(new Set(entries.map(({ kind }) => kind))).toEqual(new Set(["signed", "reissued"]));
  expect(await server.answers()).toHaveLength(offered.length);
}, 180_000);
