/** Plans a merge whose method says itself what the result is made of. */
import { isFloat } from "../../checkpoint/dtype.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { UserError } from "../../errors.ts";
import { layerOf, type NamedModel } from "../../model/names.ts";
import type { MergeMethod } from "../contract.ts";
import type { ValuedTask } from "../job/task.ts";
import { filesDonor, leftOut } from "../plan/carried-files.ts";
import { outputFiles } from "../plan/output-config.ts";
import { type Section, type SectionContext, sectionsOf } from "../plan/sections.ts";
import { tensorParameters } from "../plan/tensor-parameters.ts";
import { tensorTypes } from "../plan/tensor-types.ts";
import type { OutlinedTensor } from "./outline.ts";

interface Given {
  readonly recipe: Recipe;
  readonly method: Pick<MergeMethod, "name" | "options" | "outline">;
  /** The base, or the first model. */
  readonly donor: NamedModel;
  readonly context: SectionContext;
  /** Whose files go with the result; the donor's when left out. */
  readonly files: string | undefined;
}

/**
 * The tensors and files of the result. Throws UserError for slices, another vocabulary, and what the method refuses.
 */
export async function planOutline({ recipe, method, donor, context, files }: Given) {
  const [module, ...more] = recipe.modules;
  if (!module || more.length > 0 || module.body.kind === "slices")
    throw new UserError(`${method.name} is for whole models`, "list them under models, without slices or modules");
  if (recipe.tokenizer || recipe.chatTemplate)
    throw new UserError(`${method.name} leaves tokenizers as they are`, "change the vocabulary in a merge of its own");
  const [section] = sectionsOf(module, context);
  const values = await wholeValues(method, section!);
  const { inputs, origin } = section!;
  const streamed = [...inputs, ...(origin ? [origin] : [])].find(({ model }) => isStream(model.checkpoint));
  if (streamed)
    throw new UserError(
      `${method.name} reads tensors out of their order, and ${streamed.model.ref} is a stream`,
      "save it to a file first",
    );
  const outline = method.outline!({ models: inputs.map(({ model }) => model), base: origin?.model, values });
  const all = origin ? [...inputs, origin] : inputs;
  const tensors = outline.tensors.map((tensor) => taskOf(tensor, recipe, values, (input) => all[input]!.index));
  const giver =
    files === undefined
      ? donor
      : filesDonor(
          files,
          all.map(({ model }) => model),
        );
  const { warnings } = context;
  if (giver !== donor)
    throw new UserError(`--files ${giver.ref} cannot go with ${method.name}`, `sizes are those of ${donor.ref}`);
  warnings.push(
    ...(outline.notes ?? []),
    ...leftOut(
      donor,
      all.map(({ model }) => model),
      { template: true },
    ),
  );
  const dtype = recipe.outDtype ?? recipe.dtype;
  const changes = {
    stacks: outline.stacks ?? [],
    untied: outline.untied ?? false,
    fields: outline.fields ?? {},
    ...(dtype && { dtype }),
  };
  return { tensors, files: outputFiles(donor, changes, warnings) };
}

/** Options have one value for the whole result. */
async function wholeValues(method: Given["method"], section: Section) {
  const { values } = await tensorParameters(method);
  return values({ name: "", section, layer: undefined, depth: undefined, nameIn: () => "" });
}

function taskOf(
  { name, shape, parts }: OutlinedTensor,
  recipe: Recipe,
  values: Record<string, unknown>,
  indexOf: (input: number) => number,
): ValuedTask {
  const stored = parts[0]!.entry;
  const isCopy = parts.length === 1 && parts[0]!.share === 1;
  if (!isCopy && parts.some(({ entry }) => !isFloat(entry.dtype)))
    throw new UserError(
      `${name} is ${stored.dtype}, which has no arithmetic here`,
      "a quantized model must be dequantized before its shape can change",
    );
  return {
    ...{ name, shape, kind: isCopy ? "copy" : "merge", ...tensorTypes(name, stored, recipe) },
    models: parts.map(({ entry }) => entry),
    modelIndex: parts.map(({ input }) => indexOf(input)),
    shares: parts.map(({ share }) => share),
    layer: layerOf(name)?.index,
    values: isCopy ? {} : values,
    perModel: isCopy ? [] : parts.map(({ share }) => ({ share })),
  };
}
