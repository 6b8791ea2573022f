import { expect, test } from "vitest";
import { parseRequest } from "../../src/request/request.ts";

// rssh, scponly and gitolite's rsync helper let options of the program behind them through, one of which ran commands.

test.each([
  "rsync --server -e.sh . /srv",
  "scp -t /srv",
  "scp -f /etc/signer/repo.key",
  "git-upload-pack 'x'",
  "sftp-server -p",
  "/usr/lib/openssh/sftp-server",
  "sign --config /tmp/other.toml core.db",
  "sign --client releng core.db",
  "accept --client releng",
  "core.db --client releng",
  "key --binary",
  "status --wait",
  "init --owner root",
  "clock accept",
])("%j is no request: no program's options are read here but --for", (command) => {
  expect(parseRequest(command)).toMatchObject({ kind: "refusal", code: "bad-request" });
});
