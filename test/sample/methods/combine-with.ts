/** A decoder's rule on logits that a test gives. */
import type { Bound } from "../../../src/method/bind.ts";
import type { Combine, DecoderMethod, Rule, ViewedModel } from "../../../src/run/combining/contract.ts";

/** Models that are known by their sizes alone. */
export const viewedModels = (count: number, more: Partial<ViewedModel> = {}): ViewedModel[] =>
  Array.from({ length: count }, (_, i) => ({
    ref: `m${i}`,
    sizes: { layers: 4, width: 8, outputs: 4, maxPositions: 64 },
    ...more,
  }));

/** The rule of a decoder over so many models; texts are numbers with spaces between. */
export const ruleWith = ({ method, values }: Bound<DecoderMethod>, models: number | readonly ViewedModel[]): Rule =>
  method.make({
    values,
    models: typeof models === "number" ? viewedModels(models) : models,
    encode: (text) => text.split(" ").map(Number),
    decode: (ids) => ids.join(" "),
  });

/** Its `combine` at the first token of an answer, and what it noted. */
export function combineWith(
  bound: Bound<DecoderMethod>,
  models: number | readonly ViewedModel[],
  {
    prompt = [1, 2, 3],
    notes = {},
  }: { readonly prompt?: readonly number[]; readonly notes?: Record<string, number> } = {},
): (said: readonly Float32Array[]) => ReturnType<Combine> {
  const combine = ruleWith(bound, models).begin(prompt);
  const note = (name: string, value: number) => {
    notes[name] = value;
  };
  return (said) => combine(said, { tokens: prompt, note });
}
