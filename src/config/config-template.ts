import type { Mode } from "./config.ts";

/** What a new configuration starts with. */
export interface ConfigTemplate {
  readonly origin: string;
  readonly mode: Mode;
  readonly stateDirectory: string;
  readonly keyFile: string;
  readonly journalFile: string;
}

/** The configuration that `signer init` writes, and the shipped example: every key there is, defaults as comments. */
export function configTemplate(template: ConfigTemplate): string {
  const { origin, mode, stateDirectory, keyFile, journalFile } = template;
  return `# Configuration of signer: see signer.toml(5). An unknown key is an error; "signer check" names every mistake.

# Identity of this log: the first line of every checkpoint. It never changes once the log has begun.
origin = ${JSON.stringify(origin)}

# Domain of the notations in each signature. Default: origin up to its first slash.
# notation_domain = ${JSON.stringify(origin.split("/", 1)[0])}

# Who signs. "standalone": the forced command, in the account that SSH logs into, which can read the keys. "split": a service in
# an account of its own, signer serve, which the forced command passes requests to (docs/SPLIT.md).
${mode === "standalone" ? "# " : ""}mode = "${mode}"

# Ledger, log and log key. A folder of its own (0700) that belongs to the account that signs.
state = ${JSON.stringify(stateDirectory)}

# Operational journal, JSON lines, for grep; not the audit log. Left out: none is kept.
journal = ${JSON.stringify(journalFile)}

# The same file sent again within this time gets the same signature again and takes no place in a limit.
# reissue_window = "24 h"

# A client that sends no byte for "idle", or is not done within "total", is cut off.
# deadlines = { idle = "30 s", total = "1 h" }

[keys.repo]
# OpenPGP secret key, armored or binary: Ed25519, RSA of 2048 bits and up, or ECDSA with P-256 or P-384.
file = ${JSON.stringify(keyFile)}
# passphrase_credential = "repo"    # a file of that name in $CREDENTIALS_DIRECTORY; sshd provides none, systemd does

# What may be signed. Client, address, type and name select a rule: the first that fits decides. What no rule allows is
# refused.

[[rules]]
id = "repos-db"                     # limits are counted under this name
client = "repos"                    # signer accept --client repos, in authorized_keys
# from = ["192.0.2.10", "2001:db8::/64"]    # left out: every address that authorized_keys lets in
type = "db"                         # db, files or iso
# names = ["core.db.tar.gz", "*-testing.db.tar.gz"]    # left out: any name, or none
key = "repo"
# max_size = "128 MiB"              # of the file as sent; default 128 MiB, for iso 8 GiB
# max_expanded_size = "1 GiB"       # of a database after decompression
# allow_empty = false               # true: a database of no packages is signed
limits = ["600 per day", "60 per hour"]    # minute, hour, day, week, "30 days" slide; month is the calendar month, UTC
limits_per_name = ["30 per hour"]
# signature_expires = "14 days"     # pacman then refuses a mirror that is frozen for longer. Default: never

[[rules]]
id = "repos-files"
client = "repos"
type = "files"
key = "repo"
limits = ["600 per day", "60 per hour"]
limits_per_name = ["30 per hour"]

[[rules]]
id = "monthly-iso"
client = "releng"
type = "iso"
key = "repo"
limits = ["1 per month"]

# Machines that hold a copy of the log. A signature waits until each required one has acknowledged its entry.

# [[remote_log]]
# type = "ssh"                      # signer-log receive on the log host: keeps a copy, verifies, cosigns
# name = "loghost"
# host = "log.example.org"
# port = 22
# user = "signer-log"
# key = "/etc/signer/loghost.ssh"   # OpenSSH private key without a passphrase
# host_key = "ssh-ed25519 AAAA..."  # the log host's: no other is accepted
# witness = "log.example.org/repo+01234567+BA..."    # as signer-log init on the log host prints it
# required = true
# timeout = "10 s"

# [[remote_log]]
# type = "https"                    # the same behind nginx, over mutual TLS 1.3: signer-log receive --http (docs/PULL.md)
# name = "loghost"
# url = "https://log.example.org:8443/signer"
# ca = "/etc/signer/log/ca.pem"     # the site's own CA; no other is trusted
# crl = "/etc/signer/log/crl.pem"   # certificates that it has revoked; left out: none
# certificate = "/etc/signer/log/enclave.pem"     # shown to the log host, with its key
# key = "/etc/signer/log/enclave.key"
# witness = "log.example.org/repo+01234567+BA..."
# required = true
# timeout = "10 s"
# proxy = "socks5h://127.0.0.1:9050"    # left out: none

# [[remote_log]]
# type = "syslog"                   # RFC 5424 over TLS; acknowledges nothing, so it is never required
# name = "collector"
# host = "syslog.example.org"
# port = 6514
# ca = "/etc/signer/syslog-ca.pem"  # no other CA is trusted
# certificate = "/etc/signer/syslog.pem"    # shown to the collector, with its key; left out: none
# key = "/etc/signer/syslog.key"
# timeout = "10 s"

# The service of split mode.

# [service]
# sockets = "/run/signer"           # CLIENT.sock for each client; under systemd signer@CLIENT.socket opens them
# groups = { repos = "signer-repos", releng = "signer-releng" }    # who may connect, where signer serve opens them itself
# max_connections = 32              # of one client
# max_active = 4                    # of these, requests that are read at the same time; the others wait for their turn
# metrics = "/var/lib/prometheus/node-exporter/signer.prom"    # left out: none

# Split mode: where signer sender listens, the process that connects to the remote logs. It reads the keys named above, and
# neither the signing key nor the log.

# [sender]
# socket = "/run/signer-sender/sender.sock"
# group = "signer"                  # who may connect beside its own account: the signing service's group. Default: nobody

# Repository servers that signer pull fetches its work from, where nothing may reach this host (docs/PULL.md).

# [pull]
# state = "/var/lib/signer-pull"    # what was seen of each source, and unfinished downloads; in split mode of its own account

# [[sources]]
# name = "repos"
# url = "https://repo.example.org:8443/signer"
# client = "repos"                  # its requests are those of this client of the rules
# ca = "/etc/signer/pull/ca.pem"    # the site's own CA; no other is trusted
# crl = "/etc/signer/pull/crl.pem"  # certificates that it has revoked; left out: none
# certificate = "/etc/signer/pull/enclave.pem"    # shown to the server, with its key
# key = "/etc/signer/pull/enclave.key"
# notification_key = "ssh-ed25519 AAAA..."        # what the repository server signs its notifications with
# poll = "10 s"                     # give or take a fifth
# max_back_off = "5 min"            # between two attempts at what fails
# timeout = "30 s"                  # silence of the server
# max_size = "4 GiB"                # of one file
# proxy = "socks5h://127.0.0.1:9050"    # left out: none
`;
}

/** The shipped example, signer.toml.example. */
export const EXAMPLE_CONFIG = configTemplate({
  origin: "signer.example.org/repo",
  mode: "standalone",
  stateDirectory: "/var/lib/signer",
  keyFile: "/etc/signer/repo.key",
  journalFile: "/var/lib/signer/journal.jsonl",
});
