import type { Command } from "commander";
import { askHost } from "../../client/ask-host.ts";
import { dearmor } from "../../openpgp/armor.ts";
import { isPacketProblem } from "../../openpgp/packet-problem.ts";
import { Fault, isRefusal, refusal } from "../../outcome.ts";
import { parseKeyName } from "../../request/request.ts";
import { type ClientTools, writeOut } from "./client-tools.ts";

/** `key [KEY]` */
export function addKeyCommand(program: Command, tools: ClientTools): void {
  program
    .command("key")
    .description("print a public key of the host, armored; it is not compared with the pinned one")
    .argument("[key]", "its name on the host; needed where this client's rules use several")
    .action(async (name: string | undefined) => {
      const key = name === undefined ? undefined : parseKeyName(name);
      if (name !== undefined && key === undefined)
        return tools.finish(refusal("bad-request", "expected key [KEY], KEY of a-z, 0-9, _ and -"));
      const config = tools.readSshConfig();
      if (isRefusal(config)) return tools.finish(config);
      const answer = await askHost(config, { kind: "key", key }, tools.signal);
      if (isRefusal(answer)) return tools.finish(answer);
      const text = Buffer.from(answer).toString("latin1");
      if (isPacketProblem(dearmor(answer, "PUBLIC KEY BLOCK")) || /[^\n\r\x20-\x7e]/.test(text))
        throw new Fault("host-unreachable", "expected an armored public key from the host");
      await writeOut(tools.stdout, text);
      tools.finish();
    });
}
