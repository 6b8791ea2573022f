import { afterAll, expect, test } from "vitest";
import { encodeCanonicalJson } from "../../src/log/canonical-json.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { makeSigningHost, outcome, rule, SIGNER_LOG } from "../support/signing-host.ts";

// This program, before its log was sent on: the reason of a refusal named the client's address in the entry itself, which is
// published, goes to syslog, and can never be taken back.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("an address that is refused stands in the private record, and nowhere in the entry", async () => {
  const rules = rule({ id: "here", type: "db", from: ["192.0.2.0/24"] });
  const host = await makeSigningHost(cleanup, { rules });
  for (const command of ["sign --for alice core.db.tar.gz", "status"]) {
    const ended = await host.accept({ command, address: "203.0.113.77" });
    expect(outcome(ended)).toBe("foreign-address 77");
  }
  const [first, second] = host.requests();
  for (const entry of [first, second]) {
    expect(entry).toMatchObject({ kind: "refused", code: "foreign-address", private: expect.any(String) });
    expect(encodeCanonicalJson(entry as never)).not.toMatch(/203\.0\.113|alice/);
  }
  const show = ["--config", host.configFile, "show", "--private", String(first?.seq)];
  expect((await runOk(SIGNER_LOG, show)).toString()).toContain("203.0.113.77");
});
