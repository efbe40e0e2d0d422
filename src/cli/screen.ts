/** How wide what a script prints may be. */
import { isatty } from "node:tty";

/** Columns of the terminal that the result goes to; undefined where that is a pipe or a file, which take all. */
export const screenWidth = (out = "-"): number | undefined =>
  out === "-" && isatty(1) ? process.stdout.columns || 80 : undefined;
