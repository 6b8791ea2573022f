import type { Readable } from "node:stream";
import { accept } from "../accept.ts";
import type { Config } from "../config/config.ts";
import type { AnnouncedFile } from "../exchange/notification.ts";
import type { Journal } from "../journal.ts";
import { Ledger } from "../log/ledger.ts";
import { Fault, isRefusal, type Refusal } from "../outcome.ts";
import type { NotificationRefusal } from "../pull/judgement.ts";
import type { Signing } from "../pull/signing.ts";
import type { Peer } from "../request/peer.ts";
import { encodeRequest } from "../request/request.ts";
import { privateRecord, refuse, type SigningHost } from "../sign.ts";
import { openHost } from "./open-host.ts";
import { openRemoteLogs } from "./open-remote-logs.ts";

export interface StandaloneOptions {
  readonly config: Config;
  readonly client: string;
  readonly journal: Journal;
  readonly credentialsDirectory: string | undefined;
}

/**
 * Standalone mode: this process signs. It opens ledger, remote logs and keys for each request, as the forced command does for each
 * call, so that whoever else works with the log meanwhile finds it as it is.
 */
export class StandaloneSigning implements Signing {
  readonly #options: StandaloneOptions;

  constructor(options: StandaloneOptions) {
    this.#options = options;
  }

  async sign(
    { name, for: who }: AnnouncedFile,
    peer: Peer,
    file: Readable,
    giveUp: AbortSignal,
  ): Promise<Uint8Array | Refusal> {
    const drop = () => void file.destroy(new Fault("busy", "signer pull is being ended"));
    giveUp.addEventListener("abort", drop);
    try {
      return await this.#with(async (host) => {
        const command = encodeRequest({ kind: "sign", name, for: who });
        const answer = await accept(host, { client: this.#options.client, command, peer }, file);
        if (isRefusal(answer)) return answer;
        if (answer.kind === "signature") return answer.receipt.signature;
        throw new Error(`sign was answered with ${answer.kind}`);
      });
    } finally {
      giveUp.removeEventListener("abort", drop);
      file.destroy();
    }
  }

  async report(refused: NotificationRefusal, peer: Peer): Promise<void> {
    const { client } = this.#options;
    const record = privateRecord({ client, peer }, undefined);
    await this.#with((host) => refuse(host, client, refused, {}, record));
  }

  async #with<T>(work: (host: SigningHost) => Promise<T>): Promise<T> {
    const { config, client, journal, credentialsDirectory } = this.#options;
    try {
      const ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
      try {
        const remoteLogs = await openRemoteLogs(config, ledger, journal);
        try {
          return await work(openHost(config, ledger, remoteLogs, journal, credentialsDirectory));
        } finally {
          await remoteLogs.finish();
        }
      } finally {
        ledger.close();
      }
    } catch (error) {
      journal.error({ err: error, client }, error instanceof Fault ? error.code : "internal");
      throw error;
    }
  }
}
