/** What a method of `distill --target data` makes of a small perceptron and rows. */
import type { SynthesisMethod, SynthesisSetting, Synthetic } from "../../src/distill/data/contract.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { describeConfig } from "../../src/model/description.ts";
import { networkOf } from "../../src/run/twice/network.ts";

export async function madeBy(
  name: string,
  { inputs, classes }: { readonly inputs: number; readonly classes: number },
  setting: Partial<SynthesisSetting>,
  values: Readonly<Record<string, unknown>> = {},
): Promise<Synthetic> {
  const json = { model_type: "mlp", input_size: inputs, hidden_sizes: [4], num_labels: classes };
  const network = networkOf(await describeConfig(json, "net"), "net", name);
  const bound = bindDefaults((await loadMethod("synthesis", name)) as SynthesisMethod, values);
  return bound.method.make({
    ...{ network, weights: undefined, rows: undefined, perClass: 1, steps: bound.method.steps, seed: 0 },
    ...{ signal: new AbortController().signal, done() {}, info() {} },
    ...setting,
    values: bound.values,
  });
}
