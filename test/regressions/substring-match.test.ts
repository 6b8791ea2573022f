import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/parse-config.ts";
import { isRefusal } from "../../src/outcome.ts";
import { admit } from "../../src/policy/admission.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { parseFileName } from "../../src/request/request.ts";
import { configText, rule } from "../support/signing-host.ts";

// sigstore-js matched a host by substring; others took a prefix of an address or name for the whole.

const { rules } = parseConfig(
  configText({
    stateDirectory: "/s",
    keyFile: "/k",
    rules: rule({
      id: "core",
      type: "db",
      from: ["192.0.2.1", "2001:db8::1"],
      names: ["core.db", "*-testing.db"],
    }),
  }),
);

function isAdmitted(client: string, address: string, name: string): boolean {
  const [from, file] = [parseAddress(address), parseFileName(name)];
  return from !== undefined && file !== undefined && !isRefusal(admit(rules, client, from, file));
}

test("clients, addresses and names are compared whole", () => {
  expect(isAdmitted("repos", "192.0.2.1", "core.db")).toBe(true);
  expect(isAdmitted("repos", "2001:db8:0:0::1", "extra-testing.db")).toBe(true);
  for (const client of ["repo", "repos2", "Repos", "xrepos"])
    expect(isAdmitted(client, "192.0.2.1", "core.db"), client).toBe(false);
  for (const address of [
    "192.0.2.10",
    "192.0.2.11",
    "92.0.2.1",
    "1.192.0.2",
    "2001:db8::11",
    "2001:db8::1:1",
  ])
    expect(isAdmitted("repos", address, "core.db"), address).toBe(false);
  for (const name of ["core.db.tar", "xcore.db", "core_db", "coreXdb", "testing.db", "extra-testing.db.tar"])
    expect(isAdmitted("repos", "192.0.2.1", name), name).toBe(false);
});
