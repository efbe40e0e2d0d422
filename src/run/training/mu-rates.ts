/**
 * `--mu-base-width W`: learning rates that hold for models of any width once they are found at width W, in the simple
 * form of Wortsman et al. 2023 (https://arxiv.org/abs/2309.14322, appendix): the rate of hidden matrices times r = W /
 * width, and the output's scale r. Yang et al. 2022, https://arxiv.org/abs/2203.03466
 *
 * Where config.json has `base_width` (norm-decoder), the model itself scales its outputs. Elsewhere the head of a new
 * model begins r times as large and learns at r times the rate, which under Adam is the same as to scale what it says.
 */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";

const scalesItself = ({ json }: Pick<Model, "json">): boolean => typeof json.base_width === "number";

/** The head's matrix, (outputs, width). */
const headOf = ({ specs, parameters, sizes }: Model): Parameter | undefined => {
  const spec = specs.findLast(
    ({ linear, shape }) => linear && shape[0] === sizes.outputs && shape[1] === sizes.width && shape.length === 2,
  );
  return spec && parameters.get(spec.name);
};

/** Times the rate of every parameter. Throws UserError for models that have no such form. */
export function muRates(base: number, model: Model): (parameter: Parameter) => number {
  const ratio = base / model.sizes.width;
  const own = scalesItself(model);
  if (own && model.json.base_width !== base)
    throw new UserError(
      `--mu-base-width ${base}: the config of this model says base_width ${model.json.base_width}`,
      "give the same",
    );
  const head = own ? undefined : headOf(model);
  if (!own && !head)
    throw new UserError(
      `--mu-base-width: this ${model.architecture.name} has no head of its own to scale, apart from its embedding`,
      "take a config with tie_word_embeddings false",
    );
  return (parameter) => (parameter.isHidden || parameter === head ? ratio : 1);
}

/** Makes the head of a new model r times as large. */
export async function scaleHead(base: number, model: Model): Promise<void> {
  const head = scalesItself(model) ? undefined : headOf(model);
  if (head?.dtype !== "f32" || model.gpu.dry) return;
  const ratio = base / model.sizes.width;
  const values = await model.gpu.readFloats(head.buffer, head.size);
  head.write(values.map((value) => ratio * value));
}
