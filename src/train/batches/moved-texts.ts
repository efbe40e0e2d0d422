/** `train --adversarial` of texts: which objectives read moves of embeddings. */
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { TRAIN } from "../options.ts";

/** Whether embeddings are moved. Throws UserError for options whose objective or rows are others. */
export function movesTexts(model: Model, options: Values<typeof TRAIN>, hasOwnObjective: boolean): boolean {
  if (!options.adversarial || model.sizes.example !== undefined) return false;
  const others = {
    [`--loss ${options.loss}`]: hasOwnObjective,
    "--head sparse-etf": options.head === "sparse-etf",
    "--mixup-at embedding": options.mixup > 0 && options.mixup_at === "embedding",
    "--prompt-drop": options.prompt_drop > 0,
    "--prompt-shuffle": options.prompt_shuffle > 0,
  };
  const other = Object.entries(others).find(([, given]) => given)?.[0];
  if (other)
    throw new UserError(
      `--adversarial moves embeddings of texts, which ${other} does not read, or changes too`,
      "leave one of them out",
    );
  return true;
}
