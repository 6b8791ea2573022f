import type { Code } from "../outcome.ts";

/** One thing that `signer check` looked at. */
export type Finding =
  | { readonly level: "ok" | "note" | "warning"; readonly area: Area; readonly text: string }
  | { readonly level: "error"; readonly area: Area; readonly text: string; readonly code: Code };

export type Area =
  | "configuration"
  | "files"
  | "key"
  | "log"
  | "clock"
  | "rules"
  | "remote log"
  | "sshd"
  | "sockets"
  | "sources";

/** It is as it should be. */
export function ok(area: Area, text: string): Finding {
  return { level: "ok", area, text };
}

/** Worth knowing; nothing to do. */
export function note(area: Area, text: string): Finding {
  return { level: "note", area, text };
}

/** It works, and an administrator should change it. */
export function warning(area: Area, text: string): Finding {
  return { level: "warning", area, text };
}

/** Requests fail, or are not protected, until it is changed. */
export function problem(area: Area, code: Code, text: string): Finding {
  return { level: "error", area, code, text };
}
