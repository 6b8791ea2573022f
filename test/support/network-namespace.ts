import { randomBytes } from "node:crypto";
import type { Cleanup } from "./cleanup.ts";
import { run, runOk } from "./run.ts";

/** What passed the namespace's end of the cable, as its own kernel counts it. */
export interface Traffic {
  readonly packets: number;
  /** From the IP header on. */
  readonly bytes: number;
}

export interface TrafficCounts {
  readonly sent: Traffic;
  /** Received, of connections that something in the namespace began. */
  readonly answers: Traffic;
  /** Received, anything else, and dropped: the attempts of others to begin something. */
  readonly refused: Traffic;
}

/**
 * A network of its own, joined with this machine by a cable (veth) and nothing else. Out of it everything may be begun, into it
 * nothing: what is no answer is counted and dropped.
 */
export interface NetworkNamespace {
  /** The address inside. */
  readonly address: string;
  /** This machine's address at the other end. */
  readonly hostAddress: string;
  /** A command that runs a program inside: the program and its arguments follow. */
  readonly inside: readonly [command: string, ...args: string[]];
  counts(): Promise<TrafficCounts>;
  /** What listens inside, a line each (ss(8)): empty where nothing does. */
  listeners(): Promise<readonly string[]>;
}

const IP = "/usr/sbin/ip";
const NFT = "/usr/sbin/nft";
/** A namespace's rules: what is no answer is dropped. Counters have names, to be read. */
const RULES = `table inet enclave {
  counter sent { }
  counter answers { }
  counter refused { }
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related counter name answers accept
    counter name refused drop
  }
  chain output {
    type filter hook output priority 0; policy accept;
    oif != lo counter name sent
  }
}
`;

/** Makes one. For root, on a kernel that has namespaces and nf_tables. */
export async function makeNetworkNamespace(cleanup: Cleanup): Promise<NetworkNamespace> {
  const id = randomBytes(3);
  const name = `signer-${id.toString("hex")}`;
  const [outer, inner] = [`so${id.toString("hex")}`, `si${id.toString("hex")}`];
  // Of the block for tests of network devices (RFC 2544, RFC 5735), four addresses that nobody here has.
  const network = `198.${18 + ((id[0] ?? 0) % 2)}.${id[1] ?? 0}`;
  const first = (id[2] ?? 0) & 0xfc;
  const [hostAddress, address] = [`${network}.${first + 1}`, `${network}.${first + 2}`];
  const inside = [IP, "netns", "exec", name] as const;

  await runOk(IP, ["netns", "add", name]);
  cleanup.add(() => run(IP, ["netns", "delete", name]));
  await runOk(IP, ["link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name]);
  cleanup.add(() => run(IP, ["link", "delete", outer]));
  // No IPv6: its neighbours would greet, and every packet here is somebody's intention.
  const quiet = (device: string) => ["link", "set", device, "addrgenmode", "none", "up"];
  await runOk(IP, ["address", "add", `${hostAddress}/30`, "dev", outer]);
  await runOk(IP, quiet(outer));
  const [command, ...rest] = inside;
  const runInside = (...args: string[]) => runOk(command, [...rest, ...args]);
  await runInside(IP, "link", "set", "lo", "up");
  await runInside(IP, "address", "add", `${address}/30`, "dev", inner);
  await runInside(IP, ...quiet(inner));
  await runOk(command, [...rest, NFT, "-f", "-"], { stdin: RULES });

  const count = async (counter: string): Promise<Traffic> => {
    const { nftables } = JSON.parse(
      (await runInside(NFT, "-j", "list", "counter", "inet", "enclave", counter)).toString(),
    ) as { nftables: readonly { readonly counter?: Traffic }[] };
    const found = nftables.find((each) => each.counter !== undefined)?.counter;
    if (found === undefined) throw new Error(`nft does not know the counter ${counter}`);
    return { packets: found.packets, bytes: found.bytes };
  };
  return {
    address,
    hostAddress,
    inside,
    counts: async () => ({
      sent: await count("sent"),
      answers: await count("answers"),
      refused: await count("refused"),
    }),
    listeners: async () =>
      (await runInside("ss", "--no-header", "--listening", "--tcp", "--udp", "--numeric"))
        .toString()
        .split("\n")
        .filter((line) => line !== ""),
  };
}
