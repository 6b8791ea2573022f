import { spawn } from "node:child_process";
import { once } from "node:events";
import { NOTIFICATION_NAMESPACE, signingKeyOf, sshSignatureObjection } from "../exchange/ssh-signature.ts";
import { Fault, quoted } from "../outcome.ts";

/** A signature has less than a kilobyte, a complaint not much more. */
const MAX_OUTPUT_BYTES = 16 * 1024;
/** An agent that does not answer holds everybody up. */
const TIMEOUT_MS = 20_000;

/**
 * Has ssh-keygen sign a notification's line with the key of a file, or with an agent's key where the file is its public half.
 * @returns the armored signature, which the signing host will take
 * @throws Fault `bad-configuration` where it does not sign, or with another key than an Ed25519 one
 */
export async function signNotification(keyFile: string, line: string): Promise<string> {
  const wrong = (why: string, cause?: unknown) =>
    new Fault("bad-configuration", `expected to sign with ${quoted(keyFile, 300)}: ${why}`, { cause });
  const args = ["-Y", "sign", "-q", "-f", keyFile, "-n", NOTIFICATION_NAMESPACE];
  const { SSH_AUTH_SOCK, PATH = "/usr/local/bin:/usr/bin:/bin" } = process.env;
  const env = { PATH, LC_ALL: "C", ...(SSH_AUTH_SOCK === undefined ? {} : { SSH_AUTH_SOCK }) };
  // Without a terminal it cannot ask for a passphrase, which nobody would see coming.
  const child = spawn("ssh-keygen", args, { env, detached: true, stdio: "pipe", timeout: TIMEOUT_MS });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    const heard = { text: "" };
    stream.on("data", (chunk: Buffer) => {
      if (heard.text.length < MAX_OUTPUT_BYTES) heard.text += chunk.toString("latin1");
    });
    return heard;
  });
  child.stdin.on("error", () => undefined); // how it ended says why
  child.stdin.end(line, "latin1");
  let status: unknown;
  try {
    [status] = await once(child, "close");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw wrong(code === "ENOENT" ? "ssh-keygen is not installed" : `ssh-keygen: ${code}`, cause);
  }
  const armored = stdout?.text ?? "";
  if (status !== 0) throw wrong(complaint(stderr?.text ?? ""));
  const publicKey = signingKeyOf(armored);
  const message = Buffer.from(line, "latin1");
  const objection =
    publicKey === undefined
      ? "expected an Ed25519 key"
      : sshSignatureObjection(armored, message, { publicKey, namespace: NOTIFICATION_NAMESPACE });
  if (objection !== undefined) throw wrong(objection);
  return armored;
}

/** What ssh-keygen has said, in a phrase; in two cases its last line is not what helps. */
function complaint(stderr: string): string {
  if (stderr.includes("UNPROTECTED PRIVATE KEY FILE")) return "others may read it, chmod 600";
  if (stderr.includes("passphrase")) return "it has a passphrase: ssh-add it to an agent, and name its .pub";
  return quoted(stderr.trim().split("\n").at(-1) || "ssh-keygen failed", 300);
}
