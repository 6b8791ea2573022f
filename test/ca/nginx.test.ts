import { once } from "node:events";
import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Authority } from "../../src/ca/authority.ts";
import type { IssuedCertificate } from "../../src/ca/issued-certificate.ts";
import { mutualTlsOptions } from "../../src/transport/mutual-tls.ts";
import type { CertificateAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { DAY_MS, issueClient, issueServer, NOW, newAuthority } from "./fixture.ts";

// A real nginx with the shipped configuration and certificates of signer ca.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** Of a request for the notification, which is not there: 404 to who is let in. */
async function statusFor(
  nginx: Nginx,
  { caFile, crlFile }: Authority,
  own: IssuedCertificate,
): Promise<number | string> {
  const options = mutualTlsOptions({ caFile, crlFile, ...own }, "source-unavailable");
  const asked = request(`${nginx.url}/outbox/notification`, { ...options, agent: false });
  asked.end();
  try {
    const [answer] = await once(asked, "response");
    answer.resume();
    return answer.statusCode;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

describe.each(["ed448", "ed25519"] as const)("nginx with certificates of %s", (algorithm) => {
  let authority: Authority;
  let nginx: Nginx;
  let client: IssuedCertificate;

  beforeAll(async () => {
    authority = await newAuthority(cleanup, { algorithm });
    client = issueClient(authority);
    const certificate = issueServer(authority);
    nginx = await startNginx(cleanup, {
      authority: authority as unknown as CertificateAuthority,
      certificate,
    });
  });

  test("lets the client in, by its name, and neither a server's certificate nor another name", async () => {
    expect(await statusFor(nginx, authority, client)).toBe(404);
    expect(await statusFor(nginx, authority, issueClient(authority, "other"))).toBe(403);
    expect(await statusFor(nginx, authority, issueServer(authority))).toBe(400);
  });

  test("lets nobody in with a revoked certificate, nor anybody when the list is past its end", async () => {
    const renewed = issueClient(authority);
    authority.revoke(client, NOW);
    await nginx.reload();
    expect(await statusFor(nginx, authority, client)).toBe(400);
    expect(await nginx.errors()).toContain("certificate revoked");
    expect(await statusFor(nginx, authority, renewed)).toBe(404);
    authority.renewCrl(new Date(NOW.getTime() - 3 * DAY_MS), 2);
    await nginx.reload();
    authority.renewCrl(NOW); // the client's own is right again
    expect(await statusFor(nginx, authority, renewed)).toBe(400);
    expect(await nginx.errors()).toContain("CRL has expired");
    await nginx.reload();
    expect(await statusFor(nginx, authority, renewed)).toBe(404);
  });
});
