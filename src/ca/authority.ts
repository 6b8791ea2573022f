import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { syncDirectory, writeNewFile } from "../log/durable-file.ts";
import { Fault } from "../outcome.ts";
import type { CertifiedHost } from "./certificate-name.ts";
import { fileStemOf, folderNameOf, type IssuedCertificate, readIssued } from "./issued-certificate.ts";
import type { Openssl } from "./openssl.ts";
import {
  AUTHORITY_CONFIG,
  CERTIFICATE_EXTENSIONS,
  type CertificateUse,
  CRL_EXTENSIONS,
  CRL_NUMBER_FILE,
  certificateConfig,
  INDEX_FILE,
  indexOf,
  opensslTime,
  type RevokedCertificate,
  SERIAL_FILE,
} from "./openssl-config.ts";
import { keepRevocation, readRevocations, revocationFolder } from "./revocations.ts";
import { withWorkFolder } from "./work-folder.ts";

export type KeyAlgorithm = "ed25519" | "ed448";

export interface NewAuthority {
  readonly name: string;
  readonly algorithm: KeyAlgorithm;
  readonly days: number;
}

/** What is asked for; names as their parsers made them. */
export interface NewCertificate {
  readonly name: string;
  readonly use: CertificateUse;
  readonly hosts: readonly CertifiedHost[];
  /** At most as many as the CA has left. */
  readonly days: number;
}

/** The list of revoked certificates that is to be installed. */
export interface CrlFacts {
  /** RFC 5280 §5.2.3; grows with each list. */
  readonly number: number;
  readonly until: Date;
}

const DAY_MS = 86_400_000;
/** Certificates and lists begin so long before they are made: the clock of whoever looks at them may be behind. */
const BEFORE_MS = 3_600_000;
/** A list is good for so long, and for as long as any certificate: then it is never a list alone that ends. */
const CRL_DAYS = 397;

const KEY_FILE = "ca.key";
const CONFIG_FILE = "openssl.conf";
const PUBLIC_FILES = { certificate: "ca.pem", crl: "crl.pem" } as const;

/**
 * A site's certification authority in a folder of its own: `ca.pem`, `ca.key`, `crl.pem`, `revoked/`, and for each certificate a
 * folder. Nothing in it is ever overwritten but `crl.pem`; what is made is made beside it and put in place by one rename.
 * Faults are `authority-failed` unless said otherwise.
 */
export class Authority {
  readonly directory: string;
  readonly certificate: X509Certificate;
  readonly #openssl: Openssl;

  private constructor(directory: string, certificate: X509Certificate, openssl: Openssl) {
    this.directory = directory;
    this.certificate = certificate;
    this.#openssl = openssl;
  }

  /** Makes one where nothing is yet. Fault `bad-configuration` where something is. */
  static create(directory: string, options: NewAuthority, openssl: Openssl, now: Date): Authority {
    const path = resolve(directory);
    return guarded(path, () => {
      if (existsSync(path) && readdirSync(path).length > 0)
        throw new Fault("bad-configuration", `${path} is there already, and nothing in it is overwritten`);
      if (!existsSync(dirname(path)))
        throw new Fault("bad-configuration", `expected the folder ${dirname(path)} to be there`);
      return withWorkFolder(path, (work) => {
        const folder = join(work, "ca");
        mkdirSync(folder, { mode: 0o700 });
        mkdirSync(revocationFolder(folder), { mode: 0o700 });
        const { name, algorithm, days } = options;
        writeNewFile(join(folder, KEY_FILE), newKey(algorithm));
        const pem = makeCertificate(openssl, work, {
          config: AUTHORITY_CONFIG,
          subject: name,
          keyFile: join("ca", KEY_FILE),
          issuer: ["-selfsign", "-keyfile", join("ca", KEY_FILE)],
          serial: newSerial(),
          from: before(now),
          until: new Date(now.getTime() + days * DAY_MS),
        });
        writeNewFile(join(folder, PUBLIC_FILES.certificate), pem);
        const draft = new Authority(folder, new X509Certificate(pem), openssl);
        draft.renewCrl(now);
        syncDirectory(folder);
        renameSync(folder, path); // onto nothing, or an empty folder
        syncDirectory(dirname(path));
        return new Authority(path, draft.certificate, openssl);
      });
    });
  }

  /** Fault `no-state` where there is none. */
  static open(directory: string, openssl: Openssl): Authority {
    const path = resolve(directory);
    const file = join(path, PUBLIC_FILES.certificate);
    if (!existsSync(file))
      throw new Fault("no-state", `${path} is no CA of signer: signer ca init makes one`);
    return guarded(path, () => new Authority(path, new X509Certificate(readFileSync(file)), openssl));
  }

  get caFile(): string {
    return join(this.directory, PUBLIC_FILES.certificate);
  }

  get crlFile(): string {
    return join(this.directory, PUBLIC_FILES.crl);
  }

  get name(): string {
    return this.certificate.subject.replace(/^CN=/, "");
  }

  get until(): Date {
    return new Date(this.certificate.validTo);
  }

  /** All that it has issued and that are still there, the newest last. */
  certificates(): readonly IssuedCertificate[] {
    return guarded(this.directory, () =>
      readIssued(this.directory, this.certificate).toSorted(
        (a, b) => a.from.getTime() - b.from.getTime() || (a.serial < b.serial ? -1 : 1),
      ),
    );
  }

  /** All that are revoked, whether their files are still there or not. */
  revocations(): readonly RevokedCertificate[] {
    return readRevocations(this.directory);
  }

  /**
   * Makes a key and its certificate, and a new list of revoked ones, which is to be installed with it. Fault `bad-configuration`
   * where the CA has ended, or another client's name differs in case alone.
   */
  issue(wanted: NewCertificate, now: Date): IssuedCertificate {
    const { name, use, hosts, days } = wanted;
    const until = new Date(Math.min(now.getTime() + days * DAY_MS, this.until.getTime()));
    if (until <= now)
      throw new Fault(
        "bad-configuration",
        `${this.directory}: the CA has ended: signer ca init makes a new one`,
      );
    return guarded(this.directory, () => {
      if (use === "client") this.#refuseLookalike(name);
      const serial = newSerial();
      this.#work((work) => {
        const folder = join(work, "new");
        mkdirSync(folder, { mode: 0o700 });
        const stem = fileStemOf(name, use);
        writeNewFile(join(folder, `${stem}.key`), newKey(this.#algorithm));
        const pem = makeCertificate(this.#openssl, work, {
          config: certificateConfig(use, hosts),
          subject: name,
          keyFile: join("new", `${stem}.key`),
          issuer: ["-cert", join("..", PUBLIC_FILES.certificate), "-keyfile", join("..", KEY_FILE)],
          serial,
          from: before(now),
          until,
        });
        writeNewFile(join(folder, `${stem}.pem`), pem);
        const check = ["-CAfile", join("..", PUBLIC_FILES.certificate), "-purpose", `ssl${use}`];
        this.#openssl.run(
          ["verify", "-no-CApath", "-no-CAstore", ...check, join("new", `${stem}.pem`)],
          work,
        );
        syncDirectory(folder);
        renameSync(folder, join(this.directory, folderNameOf(name, serial))); // never onto one that is there: it is not empty
        syncDirectory(this.directory);
      });
      this.renewCrl(now);
      const issued = this.certificates().find((certificate) => certificate.serial === serial);
      if (issued === undefined) throw new Error("a certificate that was just made is not there");
      return issued;
    });
  }

  /** Revokes one, if it is not revoked already, and makes a new list. */
  revoke({ serial, until }: Pick<IssuedCertificate, "serial" | "until">, now: Date): CrlFacts {
    return guarded(this.directory, () => {
      if (!this.revocations().some((revoked) => revoked.serial === serial))
        this.#work((work) => keepRevocation(this.directory, { serial, until, revokedAt: now }, work));
      return this.renewCrl(now);
    });
  }

  /**
   * Makes a new list of revoked certificates, which takes the old one's place.
   * @param days how long it is good for; left out: for as long as any certificate, and {@link CRL_DAYS} at least
   */
  renewCrl(now: Date, days?: number): CrlFacts {
    return guarded(this.directory, () => {
      const lasting = [
        now.getTime() + CRL_DAYS * DAY_MS,
        ...this.certificates().map((certificate) => certificate.until.getTime()),
      ];
      const until = new Date(days === undefined ? Math.max(...lasting) : now.getTime() + days * DAY_MS);
      for (;;) {
        const revoked = this.revocations();
        const number = this.#writeCrl(revoked, now, until);
        // Another run may have revoked one meanwhile, and its list been replaced by this one.
        if (serials(this.revocations()) === serials(revoked)) return { number, until };
      }
    });
  }

  /** What the list at hand says of itself. */
  crl(): CrlFacts {
    return guarded(this.directory, () => {
      const said = this.#openssl.run(
        ["crl", "-in", PUBLIC_FILES.crl, "-noout", "-nextupdate", "-crlnumber"],
        this.directory,
      );
      const until = new Date(/^nextUpdate=(.+)$/m.exec(said)?.[1] ?? "");
      const number = Number.parseInt(/^crlNumber=(?:0x)?([0-9A-Fa-f]+)$/m.exec(said)?.[1] ?? "", 16);
      if (Number.isNaN(until.getTime()) || Number.isNaN(number))
        throw new Fault("authority-failed", `${this.crlFile} is no list of this CA: signer ca crl makes one`);
      return { number, until };
    });
  }

  /** Whether the list at hand has a revoked certificate: a run may have been killed before it had made the list. */
  isListed(serial: string): boolean {
    return guarded(this.directory, () => {
      const pem = readFileSync(this.crlFile, "latin1").replace(/-----[^-]+-----/g, "");
      return Buffer.from(pem, "base64").includes(Buffer.from(serial, "hex")); // 20 random octets stand there for nothing else
    });
  }

  /** nginx's map lets in by name, and takes upper and lower case for the same: one client's certificate would be another's. */
  #refuseLookalike(name: string): void {
    const taken = this.certificates().find(
      (other) =>
        other.use === "client" && other.name !== name && other.name.toLowerCase() === name.toLowerCase(),
    );
    if (taken !== undefined)
      throw new Fault(
        "bad-configuration",
        `${this.directory}: there is a client ${taken.name}, and nginx takes ${name} for it`,
      );
  }

  get #algorithm(): KeyAlgorithm {
    return this.certificate.publicKey.asymmetricKeyType === "ed25519" ? "ed25519" : "ed448";
  }

  /** Of a list that cannot be read, 0: the time is ahead of that, too. */
  #lastNumber(): number {
    try {
      return this.crl().number;
    } catch (error) {
      if (error instanceof Fault) return 0;
      throw error;
    }
  }

  #work<T>(work: (folder: string) => T): T {
    return withWorkFolder(`${this.directory}/`, work);
  }

  #writeCrl(revoked: readonly RevokedCertificate[], now: Date, until: Date): number {
    return this.#work((work) => {
      const number = Math.max(this.#lastNumber() + 1, Math.floor(now.getTime() / 1000));
      const hex = number.toString(16);
      writeFileSync(join(work, CONFIG_FILE), AUTHORITY_CONFIG);
      writeFileSync(join(work, INDEX_FILE), indexOf(revoked.map(inUpperCase)));
      writeFileSync(join(work, CRL_NUMBER_FILE), `${hex.padStart(hex.length + (hex.length % 2), "0")}\n`);
      const pem = this.#openssl.run(
        [
          ...["ca", "-config", CONFIG_FILE, "-gencrl", "-crlexts", CRL_EXTENSIONS],
          ...["-cert", join("..", PUBLIC_FILES.certificate), "-keyfile", join("..", KEY_FILE)],
          ...["-crl_lastupdate", opensslTime(before(now)), "-crl_nextupdate", opensslTime(until)],
        ],
        work,
      );
      const draft = join(work, PUBLIC_FILES.crl);
      writeNewFile(draft, pem);
      renameSync(draft, this.crlFile);
      syncDirectory(this.directory);
      return number;
    });
  }
}

interface CertificateRun {
  readonly config: string;
  readonly subject: string;
  /** Relative to the folder of the run, as all paths. */
  readonly keyFile: string;
  /** Arguments that name who signs. */
  readonly issuer: readonly string[];
  readonly serial: string;
  readonly from: Date;
  readonly until: Date;
}

/** A certificate in PEM, made in the folder of a run. */
function makeCertificate(openssl: Openssl, work: string, run: CertificateRun): string {
  writeFileSync(join(work, CONFIG_FILE), run.config);
  writeFileSync(join(work, INDEX_FILE), "");
  writeFileSync(join(work, SERIAL_FILE), `${run.serial}\n`);
  const request = openssl.run(
    ["req", "-new", "-batch", "-config", CONFIG_FILE, "-key", run.keyFile, "-subj", `/CN=${run.subject}`],
    work,
  );
  writeFileSync(join(work, "request"), request);
  return openssl.run(
    [
      ...["ca", "-batch", "-notext", "-config", CONFIG_FILE, "-in", "request", ...run.issuer],
      ...["-extensions", CERTIFICATE_EXTENSIONS],
      ...["-startdate", opensslTime(run.from), "-enddate", opensslTime(run.until)],
    ],
    work,
  );
}

/** 40 hex digits, of which 158 bits are random: a positive number of 20 octets, the most that RFC 5280 §4.1.2.2 allows. */
function newSerial(): string {
  const bytes = randomBytes(20);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes.toString("hex");
}

function newKey(algorithm: KeyAlgorithm): string {
  const encoding = {
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  } as const;
  const { privateKey } =
    algorithm === "ed25519"
      ? generateKeyPairSync("ed25519", encoding)
      : generateKeyPairSync("ed448", encoding);
  return privateKey;
}

function before(now: Date): Date {
  return new Date(now.getTime() - BEFORE_MS);
}

function serials(revoked: readonly RevokedCertificate[]): string {
  return revoked.map(({ serial }) => serial).join();
}

function inUpperCase(revoked: RevokedCertificate): RevokedCertificate {
  return { ...revoked, serial: revoked.serial.toUpperCase() };
}

/** What the file system says becomes a Fault. */
function guarded<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (cause instanceof Fault || !(cause instanceof Error) || code === undefined) throw cause;
    throw new Fault("authority-failed", `${directory} cannot be used: ${cause.message}`, { cause });
  }
}
