/** Arguments that a script reads in a way of its own, before the frame does. */
import { chosenPicks, withPicks } from "./choices.ts";
import type { AnyDefinition } from "./context.ts";
import { commonOptions, joinTables } from "./shared-options.ts";

/** The arguments as the frame reads them. Throws the UserErrors of the script, and of methods that are not there. */
export async function reworded(definition: AnyDefinition, argv: readonly string[]): Promise<readonly string[]> {
  if (!definition.reword) return argv;
  const end = argv.indexOf("--");
  const picks = await chosenPicks(definition.options, end < 0 ? argv : argv.slice(0, end));
  return definition.reword(argv, joinTables(commonOptions(definition), withPicks(definition.options, picks)));
}
