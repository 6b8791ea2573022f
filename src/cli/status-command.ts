import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { readAcknowledgements } from "../log/acknowledgements.ts";
import { readForwarded } from "../log/forwarded.ts";
import { ledgerQueries } from "../log/ledger-queries.ts";
import { readHead } from "../log/log-head.ts";
import { LogReader } from "../log/log-reader.ts";
import { EXIT, Fault } from "../outcome.ts";
import { type HostState, type LogView, readHostState } from "../service/host-state.ts";
import { signingProblems } from "../service/signing-problems.ts";
import { encodeStatusDocument } from "../service/status-document.ts";
import { askService, statusSocket } from "../service/status-socket.ts";
import { locateState } from "./log/state.ts";
import { describeConfiguredKey } from "./open-host.ts";
import { describeHost } from "./status-text.ts";

/**
 * `signer status`: how the host is, as its service says, or where none answers, as configuration, keys and log do. Returns 0,
 * or 69 where something is in the way of signing. Faults as of the configuration, and `log-not-durable` where this
 * account may not look at the state.
 */
export async function statusCommand(
  configFile: string,
  { json }: { readonly json: boolean },
): Promise<number> {
  const config = readConfigFile(configFile);
  locateState({ state: config.stateDirectory });
  const asked = await ask(config);
  const state = typeof asked === "string" ? await look(config) : asked;
  const noService = typeof asked === "string" ? asked : "";
  process.stdout.write(json ? encodeStatusDocument(state) : describeHost(state, noService));
  return signingProblems(state).length === 0 ? 0 : EXIT["service-unavailable"];
}

/** What the service says, or why there is nothing to be had. */
async function ask({ mode, stateDirectory }: Config): Promise<HostState | string> {
  try {
    const state = await askService(stateDirectory);
    if (state !== undefined) return state;
    return mode === "standalone"
      ? "none in this mode: each request is a process of its own"
      : `none answers at ${statusSocket(stateDirectory)}`;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error.message;
  }
}

/** What can be seen without a service. Only looks. */
async function look(config: Config): Promise<HostState> {
  const now = new Date();
  const reader = openReader(config);
  try {
    return await readHostState({
      config,
      now,
      log: reader instanceof Fault ? reader : viewOf(reader, config),
      describeKey: (name) => describeConfiguredKey(config, name, now),
      service: undefined,
      connections: new Map(),
    });
  } finally {
    if (!(reader instanceof Fault)) reader.close();
  }
}

function openReader({ stateDirectory }: Config): LogReader | Fault {
  try {
    return LogReader.open(stateDirectory);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

function viewOf(reader: LogReader, { origin }: Config): LogView {
  const { database } = reader;
  const verifier = () => reader.heldVerifier() ?? reader.statedVerifier();
  return {
    history: ledgerQueries(database),
    newest: () => {
      // What signing looks at first as well, so that a log that it would take for broken is none that is well here.
      const { size, lastTime } = readHead(database, verifier());
      if (reader.statedVerifier().name !== origin)
        throw new Fault(
          "bad-configuration",
          "the configuration's origin is not the one that the log began with",
        );
      return { seq: size - 1, time: lastTime };
    },
    acknowledgements: () => readAcknowledgements(database, verifier()),
    forwardedSize: (collector) => readForwarded(database, collector),
  };
}
