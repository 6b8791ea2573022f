import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeEnclave } from "../pull/enclave.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "./certificates.ts";
import type { Cleanup } from "./cleanup.ts";
import { makeNetworkNamespace, type NetworkNamespace } from "./network-namespace.ts";
import { type Nginx, startNginx } from "./nginx.ts";
import { makePullFolder, type PullFolderUnderTest } from "./pull-folder.ts";
import { runOk } from "./run.ts";
import { SIGNER } from "./signing-host.ts";
import { type SigningServiceUnderTest, startSigningService } from "./signing-service.ts";
import { tempDir } from "./temp-dir.ts";

/**
 * A signing host that fetches its work, in split mode and in a network of its own, and the repository server that it asks. Root
 * alone can make it.
 */
export interface FetchingHost {
  readonly network: NetworkNamespace;
  /** `signer pull`. */
  readonly pull: ChildProcess;
  readonly service: SigningServiceUnderTest;
  readonly nginx: Nginx;
  readonly folder: PullFolderUnderTest;
  readonly authority: CertificateAuthority;
  /** The signing host's own, `CN=enclave`. */
  readonly certificate: CertificateFiles;
  /** The armored OpenPGP certificate, and its file. */
  readonly publicKey: string;
  readonly publicKeyFile: string;
  /** Of signer-client and signer-repo-add, with `via = "pull"`. */
  readonly clientConfig: string;
}

/** Makes both, and starts `signer serve` and `signer pull`, which asks every second. */
export async function startFetchingHost(
  cleanup: Cleanup,
  { rules }: { readonly rules?: (repositoryServer: string) => string } = {},
): Promise<FetchingHost> {
  const network = await makeNetworkNamespace(cleanup);
  const authority = await makeAuthority(cleanup, { algorithm: "ed448" });
  const folder = await makePullFolder(cleanup);
  chmodSync(folder.folder, 0o711); // nginx's workers are www-data
  chownSync(folder.inbox, Number(await runOk("id", ["-u", "www-data"])), 0);
  const service = await startSigningService(
    cleanup,
    rules === undefined ? {} : { rules: rules(network.hostAddress) },
  );
  const nginx = await startNginx(cleanup, {
    authority,
    folder: folder.folder,
    address: network.hostAddress,
    certificate: await authority.issue({ usage: "server", altName: `IP:${network.hostAddress}` }),
  });
  const etc = await tempDir(cleanup);
  const publicKey = await service.host.publicKey();
  const publicKeyFile = join(etc, "repo.asc");
  writeFileSync(publicKeyFile, publicKey);
  const clientConfig = join(etc, "client.toml");
  const settings = [
    'via = "pull"',
    `public_key = "${publicKeyFile}"`,
    `pull = { folder = "${folder.folder}", key = "${folder.keyFile}", timeout = "1 min" }`,
  ];
  writeFileSync(clientConfig, `${settings.join("\n")}\n`);
  const certificate = await authority.issue({ usage: "client", commonName: "enclave" });
  makeEnclave(cleanup, service.host, [
    { url: nginx.url, authority, certificate, notificationKey: folder.publicKey },
  ]);
  const [command, ...rest] = network.inside;
  const pull = spawn(command, [...rest, SIGNER, "--config", service.host.configFile, "pull"], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "inherit", "pipe"],
  });
  cleanup.add(async () => {
    const ended = once(pull, "exit");
    if (pull.exitCode === null && pull.kill()) await ended;
  });
  await once(pull.stderr, "data"); // it says what it watches
  pull.stderr.resume();
  return {
    network,
    pull,
    service,
    nginx,
    folder,
    authority,
    certificate,
    publicKey,
    publicKeyFile,
    clientConfig,
  };
}
