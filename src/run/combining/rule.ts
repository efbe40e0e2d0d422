/** From a decoder that was chosen, and models that were opened, to its rule; with the checks that need no weights. */

import { encodePrompt } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import { expertsIn } from "../../model/blocks/experts.ts";
import type { DecoderMethod, Rule, View, ViewedModel } from "./contract.ts";

/** Models as rules see them. */
export const viewed = (
  models: readonly { readonly ref: string; readonly sizes: ModelSizes; readonly config?: unknown }[],
): ViewedModel[] => models.map(({ ref, sizes, config }) => ({ ref, sizes, experts: expertsIn(config) }));

/** "1 model", "3 models". */
const counted = (count: number): string => `${count} ${count === 1 ? "model" : "models"}`;

/** Throws UserError unless a decoder can do with so many models, the first one counted. */
export function checkModelCount({ name, models: [least, most], roles }: DecoderMethod, count: number): void {
  if (count >= least && count <= most) return;
  const wants =
    least === most
      ? counted(least)
      : most === Number.POSITIVE_INFINITY
        ? `${counted(least)} or more`
        : `${least} to ${counted(most)}`;
  throw new UserError(
    `--method ${name} takes ${wants}, and there ${count === 1 ? "is" : "are"} ${count}`,
    `name them: ${roles}`,
  );
}

/** Throws UserError for a view that a model does not have, Error for one of no model. */
function checkView({ name }: DecoderMethod, view: View, models: readonly ViewedModel[]): void {
  const model = models[view.model];
  if (!model) throw new Error(`${name} views model ${view.model} of ${models.length}`);
  const { ref, sizes, experts } = model;
  const { layer, ranks } = view;
  if (layer !== undefined && !(Number.isInteger(layer) && layer >= 0 && layer <= sizes.layers))
    throw new UserError(
      `--method ${name} reads ${ref} after layer ${layer}, and it has ${sizes.layers} layers`,
      "name a lower one",
    );
  if (!ranks) return;
  if (!experts)
    throw new UserError(
      `--method ${name} chooses experts, and ${ref} is no mixture of experts`,
      "name a model with experts",
    );
  const odd = ranks.find((rank) => !(Number.isInteger(rank) && rank >= 0 && rank < experts.count));
  if (odd !== undefined || ranks.length === 0)
    throw new UserError(
      `--method ${name} asks ${ref} for ${odd === undefined ? "no expert" : `the expert of rank ${odd}`}, and a layer has ${experts.count}`,
      `ranks go from 0, the likeliest, to ${experts.count - 1}`,
    );
}

/** Makes the rule. Throws UserError for models that do not fit. */
export function makeRule(
  { method, values }: Bound<DecoderMethod>,
  models: readonly ViewedModel[],
  tokenizer: Tokenizer | undefined,
): Rule {
  checkModelCount(method, models.length);
  const needed = (): Tokenizer => {
    if (tokenizer) return tokenizer;
    throw new UserError(
      `--method ${method.name} reads a text, and ${models[0]!.ref} has no tokenizer.json`,
      "give --tokenizer FOLDER",
    );
  };
  const rule = method.make({
    values,
    models,
    encode: (text) => [...encodePrompt(needed(), text)],
    decode: (ids) => needed().decode(ids),
  });
  for (const view of rule.views) checkView(method, view, models);
  return rule;
}

/** Logits that every model has; ids beyond are padding. */
export const sharedOutputs = (models: readonly { readonly sizes: { readonly outputs: number } }[]): number =>
  Math.min(...models.map(({ sizes }) => sizes.outputs));
