import type { CommanderError } from "commander";
import { printable } from "./log/output.ts";

/** What is wrong with a command line, in one line in this program's manner: lower case, and fit for a terminal. */
export function commandLineProblem(error: CommanderError): string {
  const text = error.message
    .replace(/^error: /, "")
    .replaceAll(/\s+/g, " ")
    .replace(". Expected ", ": expected ")
    .replace(". Allowed choices are ", ": expected one of ")
    .replace(" is invalid. expected ", " is invalid: expected ")
    .replace(/\.$/, "");
  return printable(text);
}
