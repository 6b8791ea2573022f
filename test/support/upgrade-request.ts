/** A sender's request to a log host over HTTPS, as docs/FORMATS.md has it. */
export function upgradeRequest(path = "/signer/log", host = "log.example.org"): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: upgrade\r\nUpgrade: signer-log/1\r\n\r\n`;
}
