import { dearmor } from "../openpgp/armor.ts";
import { isPacketProblem } from "../openpgp/packet-problem.ts";
import { Fault } from "../outcome.ts";

/** A certificate as a file: `pacman-key --add` and `gpg --import` take either form. */
export function exportPublic(armoredPublicKey: string, format: "armored" | "binary"): Uint8Array {
  const armored = Buffer.from(armoredPublicKey);
  if (format === "armored") return armored;
  const dearmored = dearmor(armored, "PUBLIC KEY BLOCK");
  if (isPacketProblem(dearmored))
    throw new Fault("key-unavailable", `a public key expected: ${dearmored.reason}`);
  return dearmored.bytes;
}

/**
 * The same key without the secret of its primary, which stays behind as a stub, as `gpg --export-secret-subkeys` leaves
 * it: with this file a host can sign, but make no other key valid and extend none. Armored in, armored out; a
 * passphrase stays. Throws Fault `key-unavailable` where it is no secret key, or has no subkey with a secret.
 */
export async function subkeysOnly(armoredSecretKey: string): Promise<string> {
  const openpgp = await import("openpgp");
  try {
    const key = await openpgp.readPrivateKey({ armoredKey: armoredSecretKey });
    if (!("makeDummy" in key.keyPacket)) throw new TypeError("a secret key expected");
    if (
      !key.subkeys.some(({ keyPacket }) => "isDummy" in keyPacket && !keyPacket.isMissingSecretKeyMaterial())
    ) {
      throw new TypeError("a subkey with its secret expected");
    }
    key.keyPacket.makeDummy();
    return key.armor();
  } catch (cause) {
    throw new Fault("key-unavailable", "a secret key with a signing subkey expected", { cause });
  }
}
