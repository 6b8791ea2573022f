import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Ended } from "../../test/support/run.ts";

/** SGR parameters (ECMA-48 §8.3.117). */
const STYLES = { bold: "1", dim: "2", red: "31", green: "32", cyan: "36" } as const;

const INDENT = "   ";
/** Lines of prose are easier to read when they are not as long as a wide terminal. */
const MAX_PROSE_COLUMNS = 92;

/** Something did not go as the story tells it. */
export class NotAsTold extends Error {}

/** What a command must do for the story to be true, and how much of what it prints is shown. */
export interface Plot {
  /** Exit status; 0 where left out. */
  readonly status?: number;
  /** Has to occur in what the command prints. */
  readonly prints?: string | RegExp;
  /** Chooses among the lines printed; all of them where left out. */
  readonly show?: (lines: readonly string[]) => readonly string[];
}

/** A command as it is shown, and as it is run. */
export interface Command {
  readonly prompt: string;
  readonly text: string;
  readonly run: () => Promise<Ended>;
}

/** Tells a person what happens: numbered steps, the commands in them, and what these print. */
export class Story {
  readonly #output: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly #coloured: boolean;
  /** Paths that are shown shorter than they are: [path, what stands for it]. */
  readonly #shorter: readonly (readonly [string, string])[];
  readonly #stopped: () => string | undefined;
  #steps = 0;
  #afterGap = false;

  /** @param stopped why the story must not go on; undefined while it may */
  constructor(
    output: NodeJS.WriteStream,
    shorter: readonly (readonly [string, string])[],
    stopped: () => string | undefined,
  ) {
    this.#output = output;
    this.#stopped = stopped;
    // https://no-color.org: set, and not empty.
    this.#coloured = output.isTTY && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
    this.#shorter = shorter;
  }

  /** How many steps were begun. */
  get steps(): number {
    return this.#steps;
  }

  title(text: string): void {
    this.#gap();
    this.#line(this.#style("bold", text));
    this.#gap();
  }

  /** Begins a numbered step: what happens and why. */
  step(title: string, prose: string): void {
    this.#goOn();
    this.#steps += 1;
    this.#gap();
    this.#line(this.#style("bold", `${String(this.#steps).padStart(2)}  ${title}`));
    this.#gap();
    this.say(prose);
    this.#gap();
  }

  /** A sentence or two, filled to the width. */
  say(prose: string): void {
    for (const line of fill(prose, Math.min(this.#columns - INDENT.length - 1, MAX_PROSE_COLUMNS)))
      this.#line(`${INDENT} ${line}`);
  }

  /** Lines as they stand in a file. */
  quote(lines: readonly string[]): void {
    for (const line of lines) this.#printed(line, "cyan");
  }

  /** Shows a command, runs it, shows what it printed, and holds it to the plot. */
  async run(command: Command, plot: Plot = {}): Promise<Ended> {
    this.#goOn();
    this.#command(command);
    const ended = await command.run();
    this.#goOn();
    const printed = `${ended.stdout}${ended.stderr}`.trimEnd();
    const lines = printed === "" ? [] : this.#shorten(printed).split("\n");
    for (const line of plot.show?.(lines) ?? lines) this.#printed(line);
    this.#judge(ended, printed, plot);
    if (lines.length > 0) this.#gap();
    return ended;
  }

  /** Shows and runs a program that lays its output out for the terminal itself, and so gets the terminal. */
  async runOnTerminal(
    command: Command,
    machine: { readonly home: string; readonly env: NodeJS.ProcessEnv },
  ): Promise<void> {
    if (!this.#output.isTTY) return void (await this.run(command));
    this.#goOn();
    this.#command(command);
    const { home: cwd, env } = machine;
    const child = spawn("/bin/sh", ["-c", command.text], {
      cwd,
      env,
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [status] = await once(child, "close");
    this.#goOn();
    if (status !== 0) throw new NotAsTold(`expected exit status 0, got ${status}`);
    this.#gap();
  }

  /** The last line. */
  end(style: "green" | "red", text: string): void {
    this.#gap();
    this.#line(this.#style(style, text));
  }

  #goOn(): void {
    const reason = this.#stopped();
    if (reason !== undefined) throw new NotAsTold(reason);
  }

  #command({ prompt, text }: Command): void {
    const indent = `${INDENT} ${prompt}$ `.length;
    const [first = "", ...others] = fold(text, this.#fits(indent));
    this.#line(`${INDENT} ${this.#style("bold", `${prompt}$`)} ${this.#style("dim", first)}`);
    for (const part of others) this.#line(this.#style("dim", " ".repeat(indent) + part));
  }

  #judge({ status }: Ended, printed: string, plot: Plot): void {
    const expected = plot.status ?? 0;
    if (status !== expected) {
      for (const line of printed.split("\n")) this.#printed(line, "red");
      throw new NotAsTold(`expected exit status ${expected}, got ${status ?? "a signal"}`);
    }
    const { prints = "" } = plot;
    const found = typeof prints === "string" ? printed.includes(prints) : prints.test(printed);
    if (!found) throw new NotAsTold(`expected it to print ${prints}`);
    if (expected !== 0) this.#printed(`(exit status ${expected})`, "dim");
  }

  #line(text: string): void {
    this.#output.write(`${text}\n`);
    this.#afterGap = text === "";
  }

  /** One empty line, where there is none yet. */
  #gap(): void {
    if (!this.#afterGap) this.#line("");
  }

  #style(style: keyof typeof STYLES, text: string): string {
    return this.#coloured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
  }

  #shorten(text: string): string {
    return this.#shorter.reduce((result, [path, short]) => result.replaceAll(path, short), text);
  }

  /** A line that a program printed, or that stands in a file: folded where the terminal would, further in. */
  #printed(line: string, style?: keyof typeof STYLES): void {
    const indent = `${INDENT}   `;
    for (const part of fold(this.#shorten(line).trimEnd(), this.#fits(indent.length)))
      this.#line(style === undefined ? `${indent}${part}`.trimEnd() : this.#style(style, `${indent}${part}`));
  }

  /** Columns that are left on a terminal behind so many; where there is none, nothing is folded. */
  #fits(indent: number): number {
    return this.#output.isTTY ? this.#columns - indent - 1 : Number.POSITIVE_INFINITY;
  }

  get #columns(): number {
    return this.#output.columns ?? MAX_PROSE_COLUMNS;
  }
}

function fill(prose: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of prose.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Cuts a line into parts of at most so many columns, at spaces where there are any; all but the first are set in. */
function fold(line: string, columns: number): string[] {
  if (line.length <= columns) return [line];
  const space = line.lastIndexOf(" ", columns);
  const end = space > columns / 2 ? space : columns;
  const indent = /^ */.exec(line)?.[0] ?? "";
  return [
    line.slice(0, end),
    ...fold(line.slice(end).trimStart(), columns - 2 - indent.length).map((part) => `  ${indent}${part}`),
  ];
}
