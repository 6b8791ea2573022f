import type { KeyName } from "../request/request.ts";
import type { SigningKey } from "./signing-key.ts";

/**
 * Keys that stay loaded, for a process that signs for days. One that must not sign any more is loaded anew each time: the
 * certificate in its file may have been extended, or another subkey of it be the one that signs now.
 */
export class LoadedKeys {
  readonly #load: (name: KeyName) => Promise<SigningKey>;
  readonly #keys = new Map<KeyName, Promise<SigningKey>>();

  /** `load` throws Fault `key-unavailable` where the key cannot be read; so does {@link LoadedKeys.get}. */
  constructor(load: (name: KeyName) => Promise<SigningKey>) {
    this.#load = load;
  }

  /** The key of that name, as it is at `now`. */
  async get(name: KeyName, now: Date): Promise<SigningKey> {
    const loaded = this.#keys.get(name);
    if (loaded !== undefined && (await loaded).problemAt(now) === undefined) return await loaded;
    const key = this.#load(name);
    this.#keys.set(name, key);
    try {
      return await key;
    } catch (error) {
      if (this.#keys.get(name) === key) this.#keys.delete(name);
      throw error;
    }
  }
}
