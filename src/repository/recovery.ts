import type { RepositoryLock } from "./lock.ts";
import { endPublication, readPublication } from "./publication.ts";
import { type Published, publish } from "./publish.ts";
import { removeStages } from "./work-folder.ts";

/** What a run found that was killed before it. */
export type Recovery =
  | { readonly kind: "nothing" }
  /** It had published nothing or everything: what it had staged is gone. */
  | { readonly kind: "cleared" }
  /** Its publication is complete; databases that somebody else had changed meanwhile are left as they are. */
  | ({ readonly kind: "completed" } & Published);

/** Completes or undoes what a killed run left. The lock's holder calls it before anything else. */
export function recover(lock: RepositoryLock): Recovery {
  const { repository } = lock;
  lock.removeDeadClaims();
  const publication = readPublication(repository);
  if (publication !== undefined) {
    return { kind: "completed", ...publish(repository, publication) };
  }
  endPublication(repository);
  removeStages(repository);
  return { kind: lock.takenOver ? "cleared" : "nothing" };
}
