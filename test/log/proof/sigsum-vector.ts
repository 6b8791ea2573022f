import { createHash, createPublicKey } from "node:crypto";
import { noteKey } from "../../../src/log/signed-note.ts";

/**
 * A proof out of a public log that others run, cosigned by a witness that others run: entry 4683 of Sigsum's log
 * poc.sigsum.org/jellyfish at size 4684. Sigsum's own files hold the same bytes in another order; as C2SP notes they are these.
 */

const LOG_KEY = "4644af2abd40f4895a003bca350f9d5912ab301a49c77f13e5b6d905c20a5fe6";
const WITNESS_KEY = "5c35281928e9da396beede5f22a2251a589e6ac6de52a4de85de8634ffccaf6d";

export const SIGSUM_ROOT = Buffer.from(
  "07e183bd7b31636eee13edba7ee64cc586363aea9e7cdd1579c047e2643a87b7",
  "hex",
);
export const SIGSUM_INDEX = 4683;
export const SIGSUM_SIZE = 4684;
export const SIGSUM_COSIGNED_AT = new Date(1_756_811_283_000);

/** Hash of the message, the submitter's signature, hash of the submitter's key. */
export const SIGSUM_LEAF = Buffer.concat([
  sha256(Buffer.from("f23e454ee9c9627dd1a80f6ab2e1565fa0cda3a7c91f853eb8099ff645674719", "hex")),
  Buffer.from(
    "b4f9eabdcb6b05d259e964ba6fa427c178b5586d30e6b4026287656c8a7ee2674af33d2c05701ea8f98458fe7c54b787c7a73c0fda6f09046bcf7604cea86c00",
    "hex",
  ),
  sha256(Buffer.from("50d9a125f51d85ffa1fb12011bdae05d39e03cda2a35d0daf3077072daabbb10", "hex")),
]);

export const SIGSUM_PATH = [
  "deed2b128c089094c865ce893aa9898f131460ea539f5ed38dd5a8054e087fd8",
  "ab8d1b7eb823ad50ffe619017aa14f66cde57a47a6d1739aa06bd64cbbffc91f",
  "1e2ef1212c516b59b7d3948958be90d8ef58acc427d3b4a558757041c6507db0",
  "72347e82644eea74e0e3806c16a40b396353c934850b98d9013658f13b99ecb9",
  "9103c094b7a2cbf2da7c1e1d492906ac0b9062cb0dee3a8e20f5fbff5b219c79",
  "9ca6b461d616cf790a32a967574087298abb4cd0c3da938b7fed143b7d92b5ec",
].map((hash) => Buffer.from(hash, "hex"));

const ORIGIN = `sigsum.org/v1/tree/${sha256(Buffer.from(LOG_KEY, "hex")).toString("hex")}`;
export const SIGSUM_LOG = noteKey("ed25519", ORIGIN, publicKey(LOG_KEY));
/** Its name is ours: an Ed25519 cosignature does not cover one. */
export const SIGSUM_WITNESS = noteKey("cosignature", "witness.example.net", publicKey(WITNESS_KEY));

export const SIGSUM_CHECKPOINT = `${ORIGIN}
${SIGSUM_SIZE}
${SIGSUM_ROOT.toString("base64")}

${signatureLine(
  SIGSUM_LOG,
  "9af6929d26d4dfb94802cba6f1cd988ac7165b73bfb1bbd1922175a771b5408056e2605e386a231b13ce7dda089db07beb35e2b387e88fa69e322f8839b01804",
)}
${signatureLine(
  SIGSUM_WITNESS,
  // The time, then the signature.
  `${(1_756_811_283).toString(16).padStart(16, "0")}8aff7c90eeeb74080bd81948afeb83ba5f25868ed06bb6103da45ecbc70c0dd8a195f6ab792bfa70a0f1af7d7dbd1c5beb480fc13d18f695a6fff9a8bbbb4709`,
)}
`;

function signatureLine({ name, id }: { readonly name: string; readonly id: number }, hex: string): string {
  const bytes = Buffer.from(id.toString(16).padStart(8, "0") + hex, "hex");
  return `\u2014 ${name} ${bytes.toString("base64")}`;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function publicKey(hex: string) {
  const x = Buffer.from(hex, "hex").toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}
