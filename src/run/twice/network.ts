/**
 * Classifiers of vectors and images on the host, in f64 and differentiable twice (tensor/twice): the same function of
 * the same weights as their architectures record for the GPU. For methods that go back through the steps of a training.
 */
import { UserError } from "../../errors.ts";
import type { Architecture, Json, ParameterSpec } from "../../model/architecture.ts";
import { method as convnet } from "../../model/architectures/convnet.ts";
import { method as mlp } from "../../model/architectures/mlp.ts";
import { drawn } from "../../model/fresh.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { constant, type Value } from "../../tensor/twice/value.ts";
import { convnetFeatures } from "./convnet.ts";
import { mlpFeatures } from "./mlp.ts";
import { linear, type Passing, type Weights } from "./pass.ts";

export interface Network {
  readonly ref: string;
  /** config.json */
  readonly json: Json;
  /** Of all weights, running statistics too. */
  readonly specs: readonly ParameterSpec[];
  /** Numbers of a row. */
  readonly inputs: number;
  readonly classes: number;
  /** Width of what the head reads. */
  readonly width: number;
  /** Where rows are images, channels first. */
  readonly image: { readonly channels: number; readonly side: number } | undefined;
  /** What the head reads of rows (n, inputs): (n, width). */
  features(weights: Weights, x: Value, passing?: Passing): Value;
  /** (n, classes) for features. */
  head(weights: Weights, features: Value): Value;
  logits(weights: Weights, x: Value, passing?: Passing): Value;
}

/** What an architecture is here, or why it is not. */
type Form = Pick<Network, "inputs" | "classes" | "width" | "image" | "features">;

function formOf(architecture: Architecture, json: Json, ref: string): Form | string {
  if (architecture.task !== "classifier") return `is a ${architecture.task}`;
  if (architecture.name === "mlp") {
    const c = mlp.config(json, ref);
    if (c.keyValue || c.domainHeads) return "has another head than a linear one";
    if (c.route) return "has layers that hang on the cluster of the input";
    if (c.radial || c.parts) return `has ${c.radial ? "radial features" : "layers over parts of its input"}`;
    if (c.dynamic) return "has units that inputs switch";
    if (c.norm?.balanced) return "has norms that weigh rows by their task";
    if (c.problem === "regression") return "predicts numbers";
    const sides = { inputs: c.input, classes: c.classes, width: c.hidden.at(-1) ?? c.input };
    return { ...sides, image: undefined, features: mlpFeatures(c) };
  }
  if (architecture.name === "convnet") {
    const c = convnet.config(json, ref);
    if (c.norm?.balanced) return "has norms that weigh rows by their task";
    const width = c.pooling === "mean" ? c.last.channels : c.last.channels * c.last.image ** 2;
    return {
      ...{ inputs: c.channels * c.image ** 2, classes: c.classes, width },
      image: { channels: c.channels, side: c.image },
      features: convnetFeatures(c),
    };
  }
  return `is a ${architecture.name}`;
}

/**
 * The network of a config, of which `architecture` is read already. `wanted` says what asks for it. Throws UserError
 * for models that this file does not hold.
 */
export function networkOf(
  { architecture, json }: { readonly architecture: Architecture; readonly json: Json },
  ref: string,
  wanted: string,
): Network {
  const form = formOf(architecture, json, ref);
  if (typeof form === "string")
    throw new UserError(
      `${ref} ${form}; ${wanted} goes back through steps of training, which is there for classifiers of numbers and images`,
      'give an mlp with a linear head ("model_type": "mlp") or a convnet',
    );
  const specs = architecture.parameters(architecture.config(json, ref));
  const head = (weights: Weights, features: Value) => linear(weights, "classifier", features);
  return {
    ...{ ref, json, specs, ...form, head },
    logits: (weights, x, passing) => head(weights, form.features(weights, x, passing)),
  };
}

/** Weights that gradients reach: all but running statistics. */
export const trainable = ({ specs }: Network): ParameterSpec[] => specs.filter(({ buffer }) => !buffer);

/** New weights as `train --seed` draws them, by (seed, name). */
export const freshWeights = ({ specs }: Network, seed: number): Map<string, Value> =>
  new Map(
    specs.map((spec) => [spec.name, constant(drawn(spec, spec.name, sizeOf(spec.shape), seed), spec.shape)] as const),
  );
