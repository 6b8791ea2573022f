import { join } from "node:path";
import { expect, test } from "vitest";
import { runOk } from "../support/run.ts";

// The process with the key opens no network connection: on the way over the sender it does not even load what could.

const SOURCE = join(import.meta.dirname, "../../src");

/** Opens a remote log of each type, uses both, and prints what was imported. */
function script(options: string): string {
  return `
    import { registerHooks } from "node:module";
    const seen = new Set();
    registerHooks({
      resolve: (specifier, context, next) => {
        seen.add(specifier);
        return next(specifier, context);
      },
    });
    const { openRemoteLogs } = await import(${JSON.stringify(join(SOURCE, "cli/open-remote-logs.ts"))});
    const base = { host: "127.0.0.1", port: 1, timeoutMs: 500, keyFile: "/dev/null", caFile: "/dev/null" };
    const config = {
      stateDirectory: "/nonexistent",
      remoteLogs: [
        { ...base, kind: "ssh", name: "loghost", required: true, hostKey: { type: "ssh-ed25519" }, user: "nobody" },
        { ...base, kind: "syslog", name: "siem" },
      ],
    };
    const ledger = { forwardedSize: () => 0, acknowledgements: () => [] };
    const silent = () => undefined;
    const logs = await openRemoteLogs(config, ledger, { info: silent, warn: silent, error: silent }, ${options});
    logs.connect();
    await logs.ready().catch(silent);
    await logs.release({ entry: { seq: 0 } }).catch(silent);
    await logs.finish();
    console.log(JSON.stringify([...seen].filter((each) => ["ssh2", "node:tls", "tls"].includes(each)).sort()));
  `;
}

async function loaded(options: string): Promise<unknown> {
  const printed = await runOk(process.execPath, ["--input-type=module", "-e", script(options)]);
  return JSON.parse(printed.toString());
}

test("over the sender neither SSH nor TLS is loaded; without it both are", async () => {
  expect(await loaded('{ via: { sender: "/nonexistent/sender.sock" } }')).toEqual([]);
  expect(await loaded("{}")).toEqual(["node:tls", "ssh2", "tls"]);
});
