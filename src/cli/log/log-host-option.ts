import { type Config, isLogHost, type LogHostSource } from "../../config/config.ts";
import { quoted, type Refusal, refusal } from "../../outcome.ts";

/**
 * The configured log host of a name; without one, the only one that there is.
 * @param name as typed; undefined where it was left out
 */
export function findLogHost({ remoteLogs }: Config, name: string | undefined): LogHostSource | Refusal {
  const hosts = remoteLogs.filter(isLogHost);
  const names = hosts.map((host) => host.name).join(", ");
  const [only, another] = hosts;
  if (only === undefined) {
    return refusal(
      "bad-request",
      "the configuration has no [[remote_log]] of type ssh or https: expected --copy",
    );
  }
  if (name === undefined) {
    return another === undefined
      ? only
      : refusal("bad-request", `expected the name of one log host: ${names}`);
  }
  const found = hosts.find((host) => host.name === name);
  return (
    found ?? refusal("bad-request", `${quoted(name)} is no log host of the configuration, which has ${names}`)
  );
}
