/**
 * The format of test/golden/train: a folder per model with the losses, logits, gradients and parameters that Hugging
 * Face models give under PyTorch. Runs the model, the objective and the trainer that `train` uses.
 */
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { applyAdapter, mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { collate } from "../../../src/data/batch.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { savedInfos } from "../../../src/model/save.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import { logitsOf } from "../../support/logits.ts";
import { readIndex, required } from "./index-file.ts";
import { largest, readTensors, relativeError, type StoredValues } from "./tensors.ts";

type Tolerance =
  | "logits_rel_to_max"
  | "loss_abs"
  | "grad_rel_to_tensor_max"
  | "after3_abs_for_99.9_percent"
  | "after3_abs_worst"
  | "merged_rel_to_tensor_max";

interface Case {
  /** Folder of the base, of an adapter's case. */
  readonly base?: string;
  readonly batches: readonly { readonly input_ids: number[][]; readonly labels: number[][] }[];
  readonly optimizer: Readonly<Partial<Record<"lr" | "beta1" | "beta2" | "eps" | "weight_decay", number>>>;
  readonly expected_losses: readonly number[];
  readonly tolerance: Partial<Record<Tolerance, number>>;
  /** Gradients that are 0 but for rounding: compared absolutely. */
  /** Names, or names with their largest absolute value. */
  readonly near_zero_gradients?: readonly string[] | Readonly<Record<string, number>>;
  readonly not_trained?: readonly string[];
}

/** A tensor of the checkpoint and where its values are: experts are parts of one parameter. */
interface Place {
  readonly parameter: Parameter;
  readonly start: number;
  readonly size: number;
}

/** The places of all tensors by their names in the checkpoint that they were read from. */
const placesOf = (model: Model): Map<string, Place> =>
  new Map(
    model.adapter
      ? model.adapter.tensors().map((parameter) => [parameter.name, { parameter, start: 0, size: parameter.size }])
      : model.stored.map(({ name, shape, parameter, start }) => [
          name,
          { parameter, start, size: shape.reduce((a, b) => a * b, 1) },
        ]),
  );

/** Values of a place, of the weights or of their gradients. */
async function valuesAt(
  gpu: Gpu,
  { parameter, start, size }: Place,
  what: "buffer" | "gradient",
): Promise<Float32Array> {
  return (await gpu.readFloats(parameter[what], parameter.size)).subarray(start, start + size);
}

/** Folders of a golden folder that hold a case. */
export const trainCases = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => existsSync(path.join(folder, name, "case.json")))
    .sort();

function readCase(folder: string): Case {
  const golden = readIndex<Partial<Case>>(path.join(folder, "case.json"));
  const keys = ["batches", "optimizer", "expected_losses", "tolerance"] as const;
  for (const key of keys) required(golden[key], `case.json: ${key}`);
  return golden as Case;
}

async function openCase(folder: string, gpu: Gpu) {
  const golden = readCase(folder);
  const base = await openPlain(golden.base === undefined ? folder : path.join(folder, golden.base));
  const adapter = golden.base === undefined ? undefined : await openPlain(folder);
  // What the adapter's own config says replaces these.
  const lora = { rank: 4, alpha: 8, seed: 0 } as const;
  const model = await Model.load(gpu, base, adapter ? { lora: { ...lora, from: adapter } } : { dtype: "f32" });
  const batches = golden.batches.map(({ input_ids, labels }) =>
    collate(
      input_ids.map((ids, row) => [
        { ids: Int32Array.from(ids), labels: Int32Array.from(labels[row]!), group: 0, place: `row ${row}` },
      ]),
      { buckets: "none" },
    ),
  );
  const close = () => {
    model.free();
    base.close();
    adapter?.close();
  };
  return { golden, model, batches, base, adapter, close };
}

export { logitsOf };

/**
 * Gives what is wrong with a case, nothing when it is accepted. `recompute`: activations are computed again on the way
 * back.
 */
export async function checkTrain(folder: string, gpu: Gpu, { recompute = false } = {}): Promise<string[]> {
  const expected = await readTensors(path.join(folder, "expected.safetensors"));
  const wanted = (name: string) => required(expected.get(name), `expected.safetensors: ${name}`).data;
  const { golden, model, batches, base, adapter, close } = await openCase(folder, gpu);
  const { optimizer } = golden;
  const problems: string[] = [];
  const bound = (what: string, found: number, tolerance: Tolerance) => {
    const most = toleranceOf(golden, tolerance);
    if (!(found <= most)) problems.push(`${what} is off by ${found}, at most ${most} is allowed`);
  };
  try {
    bound("logits", relativeError(await logitsOf(gpu, model, batches[0]!), wanted("logits")), "logits_rel_to_max");
    const adamw = bindDefaults(await loadMethod("optimizer", "adamw"), { ...optimizer });
    const trainer = await Trainer.make({
      gpu,
      parameters: model.trainable(),
      objective: crossEntropyObjective(model, { recompute }),
      optimizer: adamw,
      decays: () => true,
      clip: 0,
      seed: 0,
    });
    const tensors = new Map([...placesOf(model)].filter(([name]) => !golden.not_trained?.includes(name)));
    const lr = required(optimizer.lr, "case.json: optimizer.lr");
    for (const [i, batch] of batches.entries()) {
      const { result } = await trainer.step(i + 1, lr, [batch]);
      const loss = required(golden.expected_losses[i], `case.json: the expected loss of batch ${i + 1}`);
      bound(`loss ${i + 1}`, Math.abs((await result).metrics.loss! - loss), "loss_abs");
      if (i > 0) continue;
      for (const [tensor, place] of tensors) {
        const gradient = await valuesAt(gpu, place, "gradient");
        const reference = wanted(`grad.${tensor}`);
        const near = golden.near_zero_gradients ?? [];
        const zero = Array.isArray(near) ? near.includes(tensor) : Object.hasOwn(near, tensor);
        const error = zero ? largest(gradient.map((g, at) => g - reference[at]!)) : relativeError(gradient, reference);
        bound(`the gradient of ${tensor}`, error, "grad_rel_to_tensor_max");
      }
    }
    problems.push(...(await checkParameters(gpu, tensors, expected, golden)), ...checkNames(model, adapter ?? base));
    trainer.free();
    const merged = adapter && (await applyAdapter(base, adapter));
    for (const key of [...expected.keys()].filter((name) => merged && name.startsWith("merged."))) {
      const entry = required(merged!.tensors.get(key.slice("merged.".length)), `${base.ref}: ${key}`);
      bound(key, relativeError(await mergeOnCpu(entry), wanted(key)), "merged_rel_to_tensor_max");
    }
  } finally {
    close();
  }
  return problems;
}

const toleranceOf = ({ tolerance }: Case, name: Tolerance): number =>
  required(tolerance[name], `case.json: tolerance.${name}`);

/** The parameters after three steps: 99.9 % of the values within one bound, all within another. */
async function checkParameters(
  gpu: Gpu,
  tensors: ReadonlyMap<string, Place>,
  expected: ReadonlyMap<string, StoredValues>,
  golden: Case,
): Promise<string[]> {
  const most = toleranceOf(golden, "after3_abs_worst");
  const usual = toleranceOf(golden, "after3_abs_for_99.9_percent");
  let [beyond, count, worst] = [0, 0, 0];
  for (const [tensor, place] of tensors) {
    const wanted = required(expected.get(`after3.${tensor}`), `expected.safetensors: after3.${tensor}`).data;
    for (const [i, x] of (await valuesAt(gpu, place, "buffer")).entries()) {
      const error = Math.abs(x - wanted[i]!);
      if (!(error <= worst)) worst = error;
      count++;
      if (!(error <= usual)) beyond++;
    }
  }
  const missing = [...expected.keys()].filter((key) => key.startsWith("after3.") && !tensors.has(key.slice(7)));
  return [
    ...(beyond / count <= 0.001 ? [] : [`${beyond} of ${count} values after three steps are off`]),
    ...(worst <= most ? [] : [`a value after three steps is off by ${worst}`]),
    ...missing.map((key) => `${key} is missing`),
  ];
}

/** What would be saved has exactly the names, types and shapes of the checkpoint that it came from. */
function checkNames(
  model: Model,
  source: { readonly tensors: ReadonlyMap<string, { name: string; dtype: string; shape: readonly number[] }> },
) {
  const listed = (infos: Iterable<{ name: string; dtype: string; shape: readonly number[] }>) =>
    [...infos].map(({ name, dtype, shape }) => `${name} ${dtype} (${shape.join(", ")})`);
  const [saved, original] = [listed(savedInfos(model)), listed(source.tensors.values())];
  return [
    ...saved.filter((info) => !original.includes(info)).map((info) => `${info} would be saved but was not read`),
    ...original.filter((info) => !saved.includes(info)).map((info) => `${info} was read but would not be saved`),
  ];
}
