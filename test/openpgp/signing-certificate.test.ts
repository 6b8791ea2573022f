import { beforeAll, describe, expect, test } from "vitest";
import { type GeneratedKey, generateKey } from "../../src/keys/key-generation.ts";
import { dearmor } from "../../src/openpgp/armor.ts";
import { encodePacket, PACKET, readPackets } from "../../src/openpgp/packet.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import { signingCertificate } from "../../src/openpgp/signing-certificate.ts";

const MADE = new Date("2026-01-01T00:00:00Z");
const EXPIRES = new Date("2026-06-01T00:00:00Z");
const IN_BETWEEN = new Date("2026-03-01T00:00:00Z");

let key: GeneratedKey;
let other: GeneratedKey;
beforeAll(async () => {
  const userId = "Repository signing key <signer@signer.example.org>";
  key = await generateKey({ userId, now: MADE, expires: EXPIRES });
  other = await generateKey({ userId, now: MADE });
});

function binary(armored: string): Buffer {
  const found = dearmor(Buffer.from(armored), "PUBLIC KEY BLOCK");
  if (isPacketProblem(found)) throw new Error(found.reason);
  return found.bytes;
}

/** What is said of the key: the primary's fingerprint, or `no`. */
async function verdict(certificate: Uint8Array, fingerprint: string, at = IN_BETWEEN): Promise<string> {
  const found = await signingCertificate(certificate, fingerprint, at);
  return found.kind === "signing-certificate" ? found.primaryFingerprint : "no";
}

test("a signing subkey may sign while it is valid, and its primary key is named", async () => {
  expect(await verdict(binary(key.armoredPublicKey), key.fingerprint)).toBe(key.primaryFingerprint);
});

describe("a key may not sign", () => {
  test("before it was made, and after it expired", async () => {
    const certificate = binary(key.armoredPublicKey);
    expect(await verdict(certificate, key.fingerprint, new Date("2025-12-31T00:00:00Z"))).toBe("no");
    expect(await verdict(certificate, key.fingerprint, new Date("2026-07-01T00:00:00Z"))).toBe("no");
    expect(
      await verdict(binary(other.armoredPublicKey), other.fingerprint, new Date("2036-01-01T00:00:00Z")),
    ).toBe(other.primaryFingerprint);
  });

  test("where it only certifies, or is not in the certificate", async () => {
    expect(await verdict(binary(key.armoredPublicKey), key.primaryFingerprint)).toBe("no");
    expect(await verdict(binary(key.armoredPublicKey), other.fingerprint)).toBe("no");
  });

  test("where somebody put it into a certificate that does not vouch for it", async () => {
    const subkeyOf = ({ armoredPublicKey }: GeneratedKey) => {
      const packets = readPackets(binary(armoredPublicKey));
      const at = packets.findIndex(({ type }) => type === PACKET.publicSubkey);
      return packets.slice(at).map(({ type, body }) => Buffer.from(encodePacket(type, body)));
    };
    // The stranger's subkey, alone and with the binding that its own primary key made.
    const [subkey = Buffer.of(), ...bindings] = subkeyOf(other);
    const certificate = binary(key.armoredPublicKey);
    expect(await verdict(Buffer.concat([certificate, subkey]), other.fingerprint)).toBe("no");
    expect(await verdict(Buffer.concat([certificate, subkey, ...bindings]), other.fingerprint)).toBe("no");
    expect(await verdict(Buffer.concat([certificate, subkey]), key.fingerprint)).toBe(key.primaryFingerprint);
  });

  test("once it is revoked, whenever the signature says that it was made", async () => {
    const openpgp = await import("openpgp");
    const revoked = await openpgp.revokeKey({
      key: await openpgp.readKey({ armoredKey: key.armoredPublicKey }),
      revocationCertificate: key.armoredRevocation,
      date: IN_BETWEEN,
      format: "object",
    });
    const certificate = binary(revoked.publicKey.armor());
    expect(await verdict(certificate, key.fingerprint)).toBe("no");
    expect(await verdict(certificate, key.fingerprint, new Date("2026-01-02T00:00:00Z"))).toBe("no");
  });

  test("where the bytes are no certificate", async () => {
    expect(await verdict(Buffer.of(), key.fingerprint)).toBe("no");
    expect(await verdict(Buffer.from("garbage"), key.fingerprint)).toBe("no");
    expect(await verdict(binary(key.armoredPublicKey).subarray(0, 100), key.fingerprint)).toBe("no");
  });
});
