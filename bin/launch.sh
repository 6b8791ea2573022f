# Read by the launchers beside it, with $name and $bin (the folder that both are in) set. Sets $node and $script.
#
# The runtime is the one that this version is pinned to (package.json); without it, a Node of this machine.

case $bin in
*=*) # env(1) would take the runtime's path for a variable, run nothing and report success
  echo "$name: bad-configuration: expected a folder without = in its name, got $bin" >&2
  exit 78
  ;;
esac

node=$bin/../node_modules/.bin/node
if [ ! -x "$node" ]; then
  node=$(command -v node) && version=$(env -i "$node" --version) || version=none
  case $version in
  v2[4-9].* | v[3-9][0-9].* | v[1-9][0-9][0-9].*) ;;
  *)
    echo "$name: bad-configuration: $name needs Node 24 or newer, found $version; npm ci in its folder brings one" >&2
    exit 78
    ;;
  esac
fi

script=$bin/../dist/$name.cjs
[ -e "$script" ] || script=$bin/../src/cli/$name.ts
