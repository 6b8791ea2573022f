import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { exportPublic } from "../keys/key-export.ts";
import type { KeyFacts } from "../keys/signing-key.ts";
import { Fault, quoted } from "../outcome.ts";
import { type KeyName, parseKeyName } from "../request/request.ts";
import { describeUserId, describeValidity } from "../status.ts";
import { describeConfiguredKey } from "./open-host.ts";

/** `signer key`: what the configured keys are and until when they sign. Returns the exit status. */
export async function keyListCommand(
  configFile: string,
  options: { readonly json: boolean },
): Promise<number> {
  const config = readConfigFile(configFile);
  const now = new Date();
  for (const name of config.keys.keys()) {
    const key = await describeConfiguredKey(config, name, now);
    process.stdout.write(options.json ? `${JSON.stringify(keyAsJson(key, now))}\n` : keyAsText(key, now));
  }
  return 0;
}

/** `signer key export`: the public key, for keyrings. Returns the exit status. */
export async function keyExportCommand(
  configFile: string,
  wanted: string | undefined,
  options: { readonly binary: boolean },
): Promise<number> {
  const config = readConfigFile(configFile);
  const key = await describeConfiguredKey(config, chooseKey(config, wanted), new Date());
  process.stdout.write(exportPublic(key.armoredPublicKey, options.binary ? "binary" : "armored"));
  return 0;
}

function chooseKey(config: Config, wanted: string | undefined): KeyName {
  const names = [...config.keys.keys()];
  const [only] = names;
  if (wanted === undefined && only !== undefined && names.length === 1) return only;
  const name = wanted === undefined ? undefined : parseKeyName(wanted);
  if (name !== undefined && config.keys.has(name)) return name;
  const what = wanted === undefined ? "expected a key's name" : `there is no key ${quoted(wanted)}`;
  throw new Fault("bad-configuration", `${what}: the configuration has ${names.join(", ")}`);
}

function keyAsText(key: KeyFacts, now: Date): string {
  const isSubkey = key.fingerprint !== key.primaryFingerprint;
  return [
    `${key.name}`,
    `  user id      ${describeUserId(key)}`,
    `  fingerprint  ${key.primaryFingerprint}`,
    `  signs with   ${isSubkey ? `the subkey ${key.fingerprint}` : "the primary key"}, ${key.algorithm}`,
    `  made         ${key.createdAt.toISOString().slice(0, 10)}`,
    `  state        ${describeValidity(key, now)}`,
    "",
  ].join("\n");
}

function keyAsJson(key: KeyFacts, now: Date): object {
  return {
    name: key.name,
    userId: key.userId,
    primaryFingerprint: key.primaryFingerprint,
    fingerprint: key.fingerprint,
    algorithm: key.algorithm,
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    problem: key.problemAt(now)?.problem ?? null,
  };
}
