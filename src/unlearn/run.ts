/** What unlearning takes of the command line. */
import type { Values } from "../method/options.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { UNLEARN } from "./options.ts";

export interface UnlearnRun extends Pick<CommandContext, "seed" | "dryRun" | "signal" | "progress" | "info" | "warn"> {
  readonly options: Values<typeof UNLEARN>;
}
