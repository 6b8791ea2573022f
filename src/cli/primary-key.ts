/** Where `signer init` leaves what an administrator takes offline: beside the key that signs. */

/** The secret primary key together with the subkey. */
export function primaryKeyFile(keyFile: string): string {
  return `${keyFile}.primary`;
}

/** A revocation of the whole key; publishing it cannot be undone. */
export function revocationFile(keyFile: string): string {
  return `${keyFile}.revocation`;
}
