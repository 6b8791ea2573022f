import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { startGpg } from "../support/gpg.ts";
import { makeSigningHost, outcome, rule } from "../support/signing-host.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

test("each rule signs with its own key, of whatever algorithm, also where the bytes choose the rule", async () => {
  const rules =
    rule({ id: "db", type: "db" }) +
    rule({ id: "files", type: "files", key: "ecdsa" }) +
    rule({ id: "rsa", client: "rsa", type: "db", key: "rsa" });
  const host = await makeSigningHost(cleanup);
  const gnupg = await GnupgHome.create(cleanup);
  const gpg = await startGpg(cleanup);
  const fingerprints = {
    ecdsa: await gnupg.generate({ primary: ["nistp384/ecdsa", "sign,cert"] }),
    rsa: await gnupg.generate({ primary: ["rsa2048", "cert"], subkey: ["rsa3072", "sign"] }),
  };
  let text = await readFile(host.configFile, "utf8");
  for (const [name, fingerprint] of Object.entries(fingerprints)) {
    const file = join(host.folder, `${name}.key`);
    await writeFile(file, await gnupg.secretKey(fingerprint), { mode: 0o600 });
    text = text.replace("[keys.repo]", `[keys.${name}]\nfile = "${file}"\n\n[keys.repo]`);
    await gpg.importKey(await gnupg.gpg(["--armor", "--export", fingerprint]));
  }
  await writeFile(host.configFile, `${text.slice(0, text.indexOf("[[rules]]"))}${rules}`);
  const [db, files] = [
    buildDatabase({ packages: 1, kind: "db" }),
    buildDatabase({ packages: 1, kind: "files" }),
  ];
  await gpg.importKey(await host.publicKey("repo"));

  for (const [client, bytes, key] of [
    ["repos", db, undefined],
    ["repos", files, fingerprints.ecdsa],
    ["rsa", db, fingerprints.rsa],
  ] as const) {
    const ended = await host.accept({ client, stdin: bytes });
    expect(outcome(ended)).toBe("signed");
    const verdict = await gpg.verify(ended.stdout, bytes);
    expect(verdict.good).toBe(true);
    if (key !== undefined) expect(verdict.fingerprint).toBe(key);
    else expect(Object.values(fingerprints)).not.toContain(verdict.fingerprint);
  }
  expect(host.requests()).toMatchObject([{ rule: "db" }, { rule: "files" }, { rule: "rsa" }]);
  const exported = await host.accept({ client: "rsa", command: "key" });
  expect(exported.stdout).toEqual((await host.signer(["key", "export", "rsa"])).stdout);
  expect(outcome(await host.accept({ client: "rsa", command: "key repo" }))).toBe("not-permitted 77");
});
