import type { RepoProgram } from "../../repository/repo-add-arguments.ts";

/** What `--help` prints: for a packager, who knows repo-add. */
export function helpOf(program: RepoProgram): string {
  return program === "repo-add" ? ADD : REMOVE;
}

const COMMON = `  -q, --quiet              say less
      --nocolor            no colours
  -w, --wait-for-lock      wait while another process has the database's lock
  -v, --verify             first verify the signatures that are there, with the
                           pinned key
  -s, --sign               ignored: both databases are always signed
  -k, --key <key>          ignored: the signing host's rules choose the key
      --for <who>          who asks, for the signing host's log (default: who
                           called sudo, SIGNER_FOR, or the configuration)
      --config <file>      the client's configuration
                           (default: /etc/signer/client.toml)
      --recover            complete or undo what a killed run left, nothing else
  -V, --version            the versions of this program and of what it runs
`;

const FOOTER = (program: RepoProgram) => `
Exit statuses: 0 published; 1 as ${program}, which says why, or locked (2 from
pacman 7.1 on); 64 bad request; 65 not a whole database; 69 the signing host or
its key is unavailable; 74 a file could not be written; 75 over a limit or busy,
try again later; 77 not permitted; 78 configuration. Unless it is 0, nothing was
published, or with 74 --recover completes it. See signer-${program}(1).
`;

const ADD = `Usage: signer-repo-add [options] <path-to-db> [<package> ...]

Adds packages to a repository as repo-add does, has both databases signed by the
signing host, and publishes them only when both signatures are good. Without a
package: signs what is there again.

Options:
  -n, --new                only add packages that are not in the database
  -p, --prevent-downgrade  do not replace a newer version
  -R, --remove             delete replaced package files once all is published
      --include-sigs       put package signatures into the database (pacman 6.1)
${COMMON}
Examples:
  signer-repo-add core.db.tar.gz pacman-7.1.0-1-x86_64.pkg.tar.zst
  signer-repo-add -R -w core.db.tar.gz *.pkg.tar.zst
  signer-repo-add core.db.tar.gz               # sign again what is there
  signer-repo-add --recover core.db.tar.gz     # after a crash
${FOOTER("repo-add")}`;

const REMOVE = `Usage: signer-repo-remove [options] <path-to-db> <packagename> ...

Removes packages from a repository as repo-remove does, has both databases signed
by the signing host, and publishes them only when both signatures are good.

Options:
${COMMON}
Examples:
  signer-repo-remove core.db.tar.gz linux-lts
  signer-repo-remove --recover core.db.tar.gz     # after a crash
${FOOTER("repo-remove")}`;
