/** How the user starts scripts. Texts are written with `bun run`; what is printed names the launcher that is in use. */
import { basename } from "node:path";

/** `ingot` where that runs, else `bun run`. */
export const launcher = (): string =>
  basename(process.argv[1] ?? "").replace(/\.ts$/, "") === "ingot" ? "ingot" : "bun run";

/** A text whose commands begin with `bun run`, with the launcher that is in use instead. */
export const asLaunched = (text: string): string => text.replace(/\bbun run (?=[a-z])/g, `${launcher()} `);
