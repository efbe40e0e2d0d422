/** Losses that have an objective of their own in `train`. */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { LabelLoss, OwnLoss } from "../../run/training/label-loss.ts";
import type { Built } from "../../run/training/technique.ts";
import { chosenMask } from "../batches/increments.ts";
import type { TRAIN } from "../options.ts";

/** The objective of a loss that has its own. Throws UserError where other options change the objective, too. */
export function ownLoss(
  { method, values }: Bound<LabelLoss>,
  { model, steps, resumed }: Built,
  source: ReadRows,
  options: Values<typeof TRAIN>,
  seed: number,
): OwnLoss | Promise<OwnLoss> | undefined {
  if (!method.own) return undefined;
  const other = [
    options.head !== "own" && `--head ${options.head}`,
    options.heads !== "one" && `--heads ${options.heads}`,
    options.certified !== undefined && `--certified ${options.certified}`,
    options.mixup > 0 && "--mixup",
    options.contrastive > 0 && "--contrastive",
    chosenMask(model, source, options) && "--increment-mask",
    options.z_loss > 0 && !method.softens && "--z-loss",
    options.smoothing > 0 && !method.softens && "--smoothing",
  ].find((flag) => flag);
  if (other)
    throw new UserError(
      `${other} is a part of cross-entropy, and --loss ${method.name} is another loss`,
      "leave one out",
    );
  const { smoothing, z_loss: zLoss, recompute } = options;
  method.check?.(values, { outputs: model.sizes.outputs, isClassifier: model.task === "classifier" });
  return method.own({
    ...{ model, values, steps, seed, recompute, softened: { smoothing, zLoss } },
    places: "examples" in source ? source.examples.map(({ place }) => place) : undefined,
    groups: source.groups.map(({ name }) => name),
    begins: !resumed && !model.gpu.dry,
    batch: source.largest().rows,
  });
}
