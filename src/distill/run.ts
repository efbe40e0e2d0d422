/** What distillation takes of the command line. */
import type { Values } from "../method/options.ts";
import type { CommandContext } from "../run/command-context.ts";
import type { DISTILL } from "./options.ts";

export interface DistillRun extends Pick<CommandContext, "seed" | "signal" | "version" | "info" | "warn" | "onExit"> {
  readonly options: Values<typeof DISTILL>;
}
