import { connect, type Socket } from "node:net";
import type { AnyAuthMethod, Client, ClientChannel, ConnectConfig } from "ssh2";
import type { HostKey } from "../config/setting.ts";
import { Fault, quoted } from "../outcome.ts";
import { HOST_KEY_TYPES, sshAlgorithms } from "../transport/ssh-algorithms.ts";
import { sshFailure } from "../transport/ssh-failure.ts";
import type { SshClientConfig } from "./client-config.ts";
import { type HostTrust, judgeHostKey } from "./host-trust.ts";
import { lookUpHost } from "./known-hosts.ts";
import { type LoginKeys, loginKeys } from "./login-keys.ts";
import { runSession, type Session } from "./session.ts";
import type { RemoteResult, RunOptions, SigningHostConnection } from "./signing-host.ts";
import { type SshSettings, sshSettings } from "./ssh-settings.ts";

/** Three without an answer and the connection counts as lost. In ms. */
const KEEPALIVE_MS = 15_000;
/** How long the last packets may take to leave, in ms. */
const LINGER_MS = 250;

/** Logs in through ssh2. As {@link connectToHost}. */
export async function connectOverSsh2(
  config: SshClientConfig,
  signal?: AbortSignal,
): Promise<SigningHostConnection> {
  const settings = await sshSettings(config);
  const trust = await trustOf(config, settings);
  const ssh2 = await import("ssh2"); // 40 ms, which only who logs in this way pays
  const keys = loginKeys(ssh2, settings, config.identities !== undefined);
  signal?.throwIfAborted();
  const socket = connect({ host: settings.hostName, port: settings.port, noDelay: true });
  const connection = new Ssh2Connection(new ssh2.Client(), socket, config.timeoutMs);
  try {
    await connection.logIn({ config, settings, trust, keys, signal });
    return connection;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function trustOf(config: SshClientConfig, settings: SshSettings): Promise<HostTrust> {
  if (config.hostKey !== undefined) return { kind: "pinned", hostKey: config.hostKey };
  const { knownAs, knownHostsFiles } = settings;
  return { kind: "known", knownAs, ...(await lookUpHost(knownAs, knownHostsFiles)) };
}

interface Login {
  readonly config: SshClientConfig;
  readonly settings: SshSettings;
  readonly trust: HostTrust;
  readonly keys: LoginKeys;
  readonly signal: AbortSignal | undefined;
}

class Ssh2Connection implements SigningHostConnection {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  /** Aborts where the connection breaks; its reason is a Fault. */
  readonly #broken = new AbortController();

  constructor(client: Client, socket: Socket, timeoutMs: number) {
    this.#client = client;
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
  }

  async logIn({ config, settings, trust, keys, signal }: Login): Promise<void> {
    const host = quoted(config.host);
    const algorithms = sshAlgorithms(typesOf(trust, host));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let distrust: Fault | undefined;
    const fail = (error: unknown) => {
      this.#broken.abort(distrust ?? error);
      this.#socket.destroy();
      reject(distrust ?? error);
    };
    const deadline = setTimeout(() => {
      fail(new Fault("host-unreachable", `${host}: no login within ${config.timeoutMs / 1000} s`));
    }, config.timeoutMs);
    const giveUp = () => fail(signal?.reason);
    signal?.addEventListener("abort", giveUp, { once: true });
    let isAgentDead = false;
    this.#client.on("error", (error) => {
      if (error.level === "agent")
        isAgentDead = true; // ssh2 goes on to what else may log in
      else fail(faultOf(error, { host, settings, keys, trust, isAgentDead }));
    });
    this.#client.on("close", () => fail(new Fault("host-unreachable", `${host}: the connection was lost`)));
    this.#client.on("ready", () => resolve());
    try {
      this.#client.connect({
        sock: this.#socket,
        username: settings.user,
        authHandler: authHandler(settings.user, keys),
        hostVerifier: (blob: Buffer) => {
          distrust = judgeHostKey(blob, config.host, trust);
          return distrust === undefined;
        },
        algorithms,
        readyTimeout: 0, // the deadline above covers all of it
        keepaliveInterval: KEEPALIVE_MS,
      } as ConnectConfig);
      await promise;
    } finally {
      clearTimeout(deadline);
      signal?.removeEventListener("abort", giveUp);
    }
  }

  async run(command: string, input: AsyncIterable<Uint8Array>, options: RunOptions): Promise<RemoteResult> {
    options.signal?.throwIfAborted();
    const channel = await this.#open(command, options.signal);
    return await runSession(sessionOf(channel, this.#broken.signal), input, {
      ...options,
      timeoutMs: this.#timeoutMs,
    });
  }

  async #open(command: string, signal: AbortSignal | undefined): Promise<ClientChannel> {
    const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
    const stop = AbortSignal.any([
      this.#broken.signal,
      AbortSignal.timeout(this.#timeoutMs),
      ...(signal ? [signal] : []),
    ]);
    const giveUp = () =>
      reject(
        this.#broken.signal.reason ??
          signal?.reason ??
          new Fault("host-unreachable", "the host starts no command: it was silent"),
      );
    if (stop.aborted) giveUp();
    else {
      stop.addEventListener("abort", giveUp, { once: true });
      this.#client.exec(command, (cause, channel) => {
        if (cause)
          reject(new Fault("host-unreachable", "the host starts no command for this key", { cause }));
        else if (stop.aborted) channel.destroy();
        else resolve(channel);
      });
    }
    try {
      return await promise;
    } finally {
      stop.removeEventListener("abort", giveUp);
    }
  }

  async close(): Promise<void> {
    this.#client.end();
    this.#socket.destroySoon();
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
  }
}

function sessionOf(channel: ClientChannel, broken: AbortSignal): Session {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let end: number | Fault = new Fault(
    "host-unreachable",
    "the connection was lost before the host had answered",
  );
  channel.on("exit", (status: number | null, name?: string) => {
    end =
      status ??
      new Fault(
        "host-unreachable",
        `the command on the host was ended by the signal ${quoted(String(name), 20)}`,
      );
  });
  // After all that was said was read.
  channel.on("close", () => {
    if (typeof end === "number") resolve(end);
    else reject(broken.reason ?? end);
  });
  const lost = () => reject(broken.reason);
  if (broken.aborted) lost();
  else broken.addEventListener("abort", lost, { once: true });
  promise.catch(() => undefined).finally(() => broken.removeEventListener("abort", lost));
  return {
    stdin: channel.stdin,
    stdout: channel,
    stderr: channel.stderr,
    exitStatus: promise,
    kill: () => {
      reject(new Fault("host-unreachable", "the command on the host was given up"));
      channel.destroy();
    },
  };
}

function authHandler(user: string, { keys, agent }: LoginKeys) {
  const methods: AnyAuthMethod[] = keys.map((key) => ({
    type: "publickey",
    username: user,
    key: key as unknown as Buffer,
  }));
  if (agent !== undefined) methods.push({ type: "agent", username: user, agent });
  return (_left: unknown, _partial: unknown, next: (method: AnyAuthMethod | false) => void) =>
    next(methods.shift() ?? false);
}

function faultOf(
  error: Error,
  {
    host,
    settings,
    keys,
    trust,
    isAgentDead,
  }: Pick<Login, "settings" | "keys" | "trust"> & { readonly host: string; readonly isAgentDead: boolean },
): Fault {
  const failure = sshFailure(error);
  switch (failure.kind) {
    case "connection":
      return new Fault("host-unreachable", `${host}: ${failure.reason}`, { cause: error });
    case "host-key":
      return new Fault(
        "host-not-trusted",
        `${host} shows no key of the ${trust.kind} type: was it installed anew? Ask its administrator for the key it has now`,
        { cause: error },
      );
    case "login": {
      const [file] = keys.locked;
      const hint = isAgentDead
        ? "; the agent does not answer"
        : file !== undefined
          ? `; ${quoted(file, 200)} has a passphrase: ssh-add it to an agent`
          : "";
      return new Fault(
        "login-refused",
        `${host} accepts none of the keys tried for ${quoted(settings.user)}${hint}`,
        { cause: error },
      );
    }
  }
}

/** The types of key that the host may show; undefined: any, so that a message can say which one it shows. */
function typesOf(trust: HostTrust, host: string): string[] | undefined {
  const keys: readonly HostKey[] = trust.kind === "pinned" ? [trust.hostKey] : trust.trusted;
  const types = [...new Set(keys.map(({ type }) => type))];
  const usable = types.filter((type) => HOST_KEY_TYPES.includes(type));
  if (types.length > 0 && usable.length === 0)
    throw new Fault(
      "bad-configuration",
      `${host} is known by a key of type ${quoted(types.join(" "))}: only ssh itself checks those, set ssh_command = ["ssh"]`,
    );
  return types.length === 0 ? undefined : usable;
}
