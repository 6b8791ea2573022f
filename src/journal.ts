import { statSync } from "node:fs";
import { dirname } from "node:path";

/** Fields of a journal line beside its time, level and message. */
type JournalFields = Readonly<Record<string, unknown>>;

/**
 * The operational journal: what the program does, for grep and journald. Not the audit log, and never the client's to
 * read. A line that cannot be written is lost; it never keeps a request from being answered.
 */
export interface Journal {
  info(fields: JournalFields, message: string): void;
  warn(fields: JournalFields, message: string): void;
  error(fields: JournalFields, message: string): void;
}

/** What may wait for a journal that cannot be written, on a full disk say; further lines are lost. In bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** A journal that is not kept. */
export const NO_JOURNAL: Journal = { info: () => undefined, warn: () => undefined, error: () => undefined };

const UNWRITTEN: ServiceJournal = { ...NO_JOURNAL, reopen: () => undefined };

/**
 * The journal in a file that is appended to, JSON lines, mode 0600.
 * @param file absolute path; undefined: no journal is kept. Nor is one where root tries in another account's folder what that
 * account does: a file of root's there would end the account's own journal
 */
export async function openJournal(file: string | undefined): Promise<Journal> {
  if (file === undefined || isAnothers(dirname(file))) return NO_JOURNAL;
  return await writeTo({ dest: file, append: true, mode: 0o600 });
}

/** The journal of a process that lives for days. */
export interface ServiceJournal extends Journal {
  /**
   * Goes on in a new file of the same name, where the old one was moved away (logrotate(8)); in the old one where no new one is
   * to be had. Never throws.
   */
  reopen(): void;
}

/** The journal of a service: in the file, or on stderr, where its manager keeps it. */
export async function openServiceJournal(file: string | undefined): Promise<ServiceJournal> {
  if (file === undefined) return await writeTo({ fd: 2 });
  if (isAnothers(dirname(file))) return UNWRITTEN;
  return await writeTo({ dest: file, append: true, mode: 0o600 });
}

async function writeTo(place: Readonly<Record<string, string | number | boolean>>): Promise<ServiceJournal> {
  const { pino } = await import("pino");
  try {
    const destination = pino.destination({ ...place, sync: true, maxLength: MAX_WAITING_BYTES });
    destination.on("error", () => undefined);
    const logger = pino(
      { base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime },
      destination,
    );
    return {
      info: (fields, message) => logger.info(fields, message),
      warn: (fields, message) => logger.warn(fields, message),
      error: (fields, message) => logger.error(fields, message),
      reopen: () => {
        if (!("dest" in place)) return;
        try {
          destination.reopen();
        } catch (error) {
          // What is to close the old file then must not do so twice: by the second time its number may be another file's.
          destination.removeAllListeners("ready");
          logger.warn({ err: error }, "the journal goes on in its old file");
        }
      },
    };
  } catch {
    return UNWRITTEN;
  }
}

function isAnothers(folder: string): boolean {
  return process.geteuid?.() === 0 && (statSync(folder, { throwIfNoEntry: false })?.uid ?? 0) !== 0;
}
