#!/usr/bin/env bash
# Makes this checkout ready on a machine that has git, Node 20 or newer and npm. A second run installs nothing.
#
#   scripts/setup.sh [--for test|demo|bench]      test where left out
#
# npm packages, with the pinned Node among them; on Debian, as root, the packages that tests, demo and bench run; dist/.
# Not root, or not Debian: says what is missing and how to get it, and ends with 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case $* in
"") purpose=test ;;
"--for test" | "--for demo" | "--for bench") purpose=$2 ;;
*)
  echo "usage: scripts/setup.sh [--for test|demo|bench]" >&2
  exit 64
  ;;
esac

# A tool, or a library that a tool loads; the Debian package that has it, and what runs it.
tools() {
  cat <<'END'
sshd      openssh-server          test demo bench
ssh       openssh-client          test demo bench
gpg       gnupg                   test demo bench
gpg-agent gnupg                   test demo
pacman    pacman-package-manager  test demo
repo-add  pacman-package-manager  test demo bench
makepkg   makepkg                 test demo
bsdtar    libarchive-tools        test demo bench
xorriso   xorriso                 test demo bench
zstd      zstd                    test
xz        xz-utils                test
sq        sq                      test
strace    strace                  test
busybox   busybox                 test
setfacl   acl                     test
python3   python3                 test
openssl   openssl                 test demo bench
rsyslogd  rsyslog                 test
lmnsd_ossl.so rsyslog-openssl     test
lmnsd_gtls.so rsyslog-gnutls      test
systemd-analyze systemd         test
ip        iproute2                test bench
nft       nftables                test bench
curl      curl                    bench
nginx     nginx-light             test demo bench
microsocks microsocks             test
END
}

present() {
  case $1 in
  *.so) [ -n "$(find /usr/lib /usr/lib64 -maxdepth 3 -name "$1" -print -quit 2>/dev/null)" ] ;;
  *) PATH=$PATH:/usr/sbin command -v "$1" >/dev/null ;;
  esac
}

npm_packages() {
  # A copy of the lock file as installed: npm ci empties node_modules first, so that a copy in there means a whole install.
  if cmp -s package-lock.json node_modules/.installed-lock.json; then return; fi
  if ! command -v npm >/dev/null; then
    echo "setup: npm is missing; it comes with Node: https://nodejs.org" >&2
    exit 1
  fi
  echo "setup: installing npm packages"
  npm ci --include=optional --include=dev --loglevel=error >/dev/null
  cp package-lock.json node_modules/.installed-lock.json
}

# The pinned runtime is an npm package for Linux on x64 and arm64; elsewhere the one of the machine has to do.
runtime() {
  local node=node_modules/.bin/node version=none
  [ -x "$node" ] || node=node
  if version=$("$node" -p process.versions.node 2>/dev/null) && [ "${version%%.*}" -ge 24 ]; then return; fi
  echo "setup: Node 24 or newer is needed, found ${version:-none}: https://nodejs.org" >&2
  exit 1
}

debian_packages() {
  local tool package purposes missing=() packages=()
  while read -r tool package purposes; do
    if [[ " $purposes " != *" $purpose "* ]] || present "$tool"; then continue; fi
    missing+=("$tool")
    [[ " ${packages[*]-} " == *" $package "* ]] || packages+=("$package")
  done < <(tools)
  # The one library of the pinned runtime that a small Debian lacks.
  if [ -x node_modules/.bin/node ] && ! node_modules/.bin/node --version >/dev/null 2>&1; then
    missing+=(libatomic.so.1) packages+=(libatomic1)
  fi
  [ "${#missing[@]}" -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ] || [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then
    echo "setup: missing: ${missing[*]}" >&2
    echo "setup: on Debian, as root: apt-get install ${packages[*]}" >&2
    exit 1
  fi
  echo "setup: installing Debian packages: ${packages[*]}"
  mkdir -p .setup
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >.setup/apt.log 2>&1; then
    cat .setup/apt.log >&2
    exit 1
  fi
}

npm_packages
debian_packages
runtime
bash scripts/build.sh
