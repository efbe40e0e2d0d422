/** What is trained where a model is to be made narrower or shallower. */
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { OwnLoss } from "../../run/training/label-loss.ts";
import type { Built, Work } from "../../run/training/technique.ts";
import type { TRAIN } from "../options.ts";
import { cikdWork } from "./cikd.ts";
import { depsWork } from "./deps.ts";
import { pruneWork } from "./polarize.ts";

type Options = Values<typeof TRAIN>;

/** An objective, and perhaps a smaller model in the end. */
export type WidthWork = OwnLoss & Pick<Work<never>, "told" | "result">;

/** Whether a training has an objective of this kind, of which there is one at most. Throws UserError for two. */
export function changesWidths({ supernet, prune, credit }: Pick<Options, "supernet" | "prune" | "credit">): boolean {
  const flags = [supernet && `--supernet ${supernet}`, prune && `--prune ${prune}`].filter((flag) => flag);
  if (flags.length > 0 && credit !== "backprop") flags.push(`--credit ${credit}`);
  if (flags.length > 1) throw new UserError(`${flags.join(" and ")} are two objectives`, "leave one of them out");
  return flags.length > 0;
}

/** Throws UserError for models and options that it is not for. */
export async function widthWork(
  built: Built,
  options: Options,
  { seed, out }: { readonly seed: number; readonly out: string },
): Promise<WidthWork> {
  const { model, ref, steps } = built;
  if (options.prune) return pruneWork(built, options, { seed, out });
  if (options.supernet === "cikd") return cikdWork(model, options, { ref, seed });
  return depsWork(model, options, { ref, steps, seed });
}
