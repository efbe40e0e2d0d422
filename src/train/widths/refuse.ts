/** Options that change what is minimised, beside which no smaller models are trained. */
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { TRAIN } from "../options.ts";

/**
 * Throws UserError for options, and models, that a training of smaller models inside of a model leaves no place for.
 */
export function refuseBeside(flag: string, model: Model, options: Values<typeof TRAIN>): void {
  const other = [
    options.loss !== "ce" && `--loss ${options.loss}`,
    options.head !== "own" && `--head ${options.head}`,
    options.heads !== "one" && `--heads ${options.heads}`,
    options.certified !== undefined && `--certified ${options.certified}`,
    options.loss_balance !== "none" && `--loss-balance ${options.loss_balance}`,
    options.increment_mask !== undefined && "--increment-mask",
    options.output_scale !== undefined && "--output-scale",
    options.adversarial && "--adversarial",
    options.schedule_search && "--schedule-search",
    options.prequential && "--prequential",
    options.new_front && "--new-front",
    options.mixup > 0 && "--mixup",
    options.contrastive > 0 && "--contrastive",
    options.smoothing > 0 && "--smoothing",
    options.z_loss > 0 && "--z-loss",
    options.recompute && "--recompute",
    options.dtype === "bf16" && "--dtype bf16",
  ].find((text) => text);
  if (other) throw new UserError(`${other} and ${flag} do not go together`, "leave one of them out");
  if (model.adapter)
    throw new UserError(`${flag} trains the weights of a model, and an adapter is trained`, "leave the adapter out");
  if (model.task === "regressor" || model.task === "embedder")
    throw new UserError(`${flag} is for classifiers and language models, and this is a ${model.task}`, "leave it out");
}
