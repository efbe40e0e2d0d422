/**
 * `train --head etf`: a classifier whose head is a simplex equiangular tight frame, and stays one: its rows, of length
 * 1, are as far apart as can be, which is what heads come to at the end of long training (neural collapse). The body
 * learns; the result has the frame as its head. Zhu et al., NeurIPS 2021, https://arxiv.org/abs/2105.02375
 */
import { UserError } from "../../errors.ts";
import { headWeight } from "../../run/probing/class-view.ts";
import type { Built } from "../../run/training/technique.ts";
import { simplexEtf } from "./sparse-etf.ts";

/** Sets the head and holds it. Throws UserError for a model whose head is no matrix of its own, of f32. */
export function holdEtf({ model, resumed, gpu }: Pick<Built, "model" | "resumed" | "gpu">, seed: number): void {
  if (model.task !== "classifier" || model.adapter)
    throw new UserError(
      model.adapter
        ? "--head etf fixes the head of a whole model, and an adapter is trained"
        : `--head etf is for classifiers, and ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  const { outputs: classes, width } = model.sizes;
  const weight = headWeight(model, width);
  if (weight?.dtype !== "f32")
    throw new UserError(
      weight
        ? `--head etf: ${weight.name} is held in ${weight.dtype}`
        : `--head etf: the head of this ${model.architecture.name} is no matrix over its ${width} features`,
      weight ? "leave out --dtype bf16" : "take a model with a linear head",
    );
  if (classes < 2 || classes > width)
    throw new UserError(
      `--head etf sets ${classes} classes apart in ${width} numbers, and needs from 2 to as many classes as numbers`,
      "take a model whose head reads more numbers",
    );
  const bias = model.parameters.get(weight.name.replace(/\.weight$/, ".bias"));
  for (const held of bias ? [weight, bias] : [weight]) held.trainable = false;
  if (resumed || gpu.dry) return;
  const rows = simplexEtf({ classes, width, sparsity: 0, steps: 0, seed });
  weight.write(Float32Array.from(rows.flatMap((row) => [...row])));
  bias?.write(new Float32Array(classes));
}
