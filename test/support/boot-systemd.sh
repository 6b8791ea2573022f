#!/bin/sh
# Boots a second systemd, as process 1 of namespaces of its own, on a copy of this machine's file system that is thrown away:
# see booted-systemd.ts. Nothing that happens in there reaches the machine. As root, on a kernel with overlayfs and cgroup 2.
#
#   boot-systemd.sh FOLDER PROGRAM      FOLDER is /run/machine inside, and PROGRAM, the checkout, /usr/lib/signer
#
# FOLDER/prepare is run first, inside; the units are those of FOLDER/units and no others. FOLDER/unshare-pid gets the parent of
# process 1; killing process 1 ends it all, this script included.
set -eu
step=${3-outside}
folder=$1 program=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin

case $step in
outside)
  unshare -m sh "$0" "$folder" "$program" cgroup
  ;;
cgroup) # one of its own, so that systemd takes it for the root
  mkdir -p "$folder/cgroup"
  mount -t cgroup2 cgroup2 "$folder/cgroup"
  own=$folder/cgroup/signer-test.$$
  mkdir "$own"
  (
    echo 0 >"$own/cgroup.procs"
    exec unshare -m -p -f -i -u -n -C --kill-child sh "$0" "$folder" "$program" inside
  ) &
  echo $! >"$folder/unshare-pid"
  wait $! || :
  find "$own" -depth -type d -exec rmdir {} +
  ;;
inside)
  mount --make-rprivate /
  mkdir -p "$folder/layer"
  mount -t tmpfs -o mode=755 tmpfs "$folder/layer"
  cd "$folder/layer"
  mkdir changes work root
  mount -t overlay overlay -o lowerdir=/,upperdir=changes,workdir=work root
  cd root
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount --rbind /dev dev
  mount -t tmpfs -o mode=755 tmpfs run
  mkdir -p usr/lib/signer run/machine
  mount --bind "$program" usr/lib/signer
  mount --bind "$folder" run/machine
  pivot_root . mnt
  umount -l mnt
  mount --make-rshared / # as a systemd that boots a machine does
  sh /run/machine/prepare
  exec env -i "PATH=$PATH" container=test SYSTEMD_UNIT_PATH=/run/machine/units \
    /lib/systemd/systemd --system --unit=boot.target --log-target=console --show-status=no
  ;;
esac
