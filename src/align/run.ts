/** What alignment takes of the command line. */
import type { Values } from "../method/options.ts";
import type { Picks } from "../method/picks.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { ALIGN } from "./options.ts";

export interface AlignRun
  extends Pick<CommandContext, "seed" | "dryRun" | "signal" | "progress" | "log" | "info" | "warn"> {
  readonly options: Values<typeof ALIGN>;
  readonly picks: Picks<typeof ALIGN>;
}
