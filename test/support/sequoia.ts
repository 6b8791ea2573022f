import { type Ended, run, runOk } from "./run.ts";

/** `sq verify` of a detached signature; the options are called otherwise since version 1.0 of sq. */
export async function sqVerify(certificate: string, signature: string, artefact: string): Promise<Ended> {
  const help = (await runOk("sq", ["verify", "--help"])).toString();
  const options = help.includes("--signer-cert")
    ? ["--signer-cert", certificate, "--detached", signature]
    : ["--signer-file", certificate, "--signature-file", signature];
  return run("sq", ["verify", ...options, artefact]);
}
