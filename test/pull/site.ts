import type { CertificateAuthority, CertificateFiles } from "../support/certificates.ts";
import { makeAuthority } from "../support/certificates.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { type Announcer, makeAnnouncer } from "./announcer.ts";

/** What a site has once: a CA, the signing host's certificate, the key of the notifications. */
export interface Site {
  readonly authority: CertificateAuthority;
  readonly certificate: CertificateFiles;
  readonly announcer: Announcer;
}

export async function makeSite(cleanup: Cleanup): Promise<Site> {
  const authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  const certificate = await authority.issue({ usage: "client", commonName: "enclave" });
  return { authority, certificate, announcer: await makeAnnouncer(cleanup) };
}
