import type { Algorithms } from "ssh2";

/** What OpenSSH offers since 7.3 (2016), without CBC, SHA-1, and compression. */
const ALGORITHMS = {
  kex: [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
  ],
  cipher: [
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
  ],
  hmac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
  compress: ["none"],
} as const satisfies Algorithms;

/** Types of host key that ssh2 can check, best first. */
export const HOST_KEY_TYPES: readonly string[] = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-rsa",
];

/**
 * What a connection through ssh2 may use.
 * @param hostKeyTypes the types of key that the host may show; undefined: any
 */
export function sshAlgorithms(hostKeyTypes: readonly string[] = HOST_KEY_TYPES): Algorithms {
  return {
    kex: [...ALGORITHMS.kex],
    cipher: [...ALGORITHMS.cipher],
    hmac: [...ALGORITHMS.hmac],
    compress: [...ALGORITHMS.compress],
    // Typed by what ssh2 had once; a type it does not know makes `connect` throw.
    serverHostKey: hostKeyTypes.flatMap(hostKeyAlgorithms) as NonNullable<Algorithms["serverHostKey"]>,
  };
}

/** An RSA key signs with SHA-2 (RFC 8332 §3), never with SHA-1. */
function hostKeyAlgorithms(type: string): string[] {
  return type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [type];
}
