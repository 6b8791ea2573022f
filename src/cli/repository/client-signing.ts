import { readFile } from "node:fs/promises";
import { DEFAULT_CLIENT_CONFIG_FILE, readClientConfig } from "../../client/client-config.ts";
import { readPinnedCertificates } from "../../client/pinned-certificates.ts";
import { signFiles } from "../../client/sign-files.ts";
import { openpgpjsObjection } from "../../openpgp/openpgpjs-verification.ts";
import { quoted } from "../../outcome.ts";
import type { Requester } from "../../request/request.ts";
import type { RepositoryEnvironment } from "./repository-environment.ts";
import type { Signing } from "./repository-program.ts";

/**
 * Signing by the host of the client's configuration. SIGNER_HOST, SIGNER_VIA and SIGNER_PUBLIC_KEY come before the file, which may then be
 * missing unless it was named.
 * @throws Fault `bad-configuration`
 */
export async function openClientSigning(
  environment: RepositoryEnvironment,
  options: {
    readonly config: string | undefined;
    readonly requester: Requester | undefined;
    /** Says on stderr what somebody should know that is no failure. */
    readonly note: (text: string) => void;
  },
): Promise<Signing> {
  const named = options.config ?? environment.clientConfig;
  const config = readClientConfig(named ?? DEFAULT_CLIENT_CONFIG_FILE, {
    mustExist: named !== undefined,
    overrides: {
      ...(environment.via === undefined ? {} : { via: environment.via }),
      ...(environment.host === undefined ? {} : { host: environment.host }),
      ...(environment.publicKey === undefined ? {} : { publicKeyFile: environment.publicKey }),
    },
  });
  const certificates = await readPinnedCertificates(config.publicKeyFile);
  return {
    sign: (files, signal) =>
      signFiles(config, files, { for: options.requester, signal, onNote: options.note }),
    // A live signature may be older than any answer, and made before there was a signing host.
    verify: async (path, signature) => {
      let objection = "no key";
      for (const certificate of certificates) {
        const why = await openpgpjsObjection(
          certificate.armor(),
          await readFile(path),
          signature,
          new Date(),
        );
        if (why === undefined) return undefined;
        objection = quoted(why, 200);
      }
      return objection;
    },
  };
}
