/**
 * A classifier of vectors: linear layers with an activation between them. With `problem_type` "regression" its
 * `num_labels` outputs are numbers. An architecture of our own, named like the others.
 */
import { UserError } from "../../errors.ts";
import { gelu, relu } from "../../tensor/ops/activation.ts";
import { sigmoid } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Box, Net, ParameterSpec } from "../architecture.ts";
import {
  type BatchNorm,
  batchNorm,
  batchNormed,
  batchNormedBox,
  batchNormJson,
  batchNormParameters,
} from "../blocks/batch-norm.ts";
import { linearBox, reluBox } from "../blocks/box.ts";
import {
  type ClusterRoute,
  clusterJson,
  clusterLayer,
  clusterParameters,
  clusterRoute,
  routed,
  routeParameters,
} from "../blocks/cluster-route.ts";
import {
  type DomainHeads,
  domainHeadParameters,
  domainHeads,
  domainHeadsJson,
  domainLogits,
  mixedHeads,
} from "../blocks/domain-heads.ts";
import {
  type DynamicWidth,
  dynamicJson,
  dynamicUnits,
  dynamicWidth,
  predictorParameters,
} from "../blocks/dynamic-width.ts";
import { type InputParts, inputParts, joined, jointParameters, partsJson, partsWidth } from "../blocks/input-parts.ts";
import {
  type KeyValueHead,
  keyValueHead,
  keyValueJson,
  keyValueLogits,
  keyValueParameters,
} from "../blocks/key-value-head.ts";
import {
  type RadialFeatures,
  radialFeatures,
  radialJson,
  radialLayer,
  radialParameters,
  radialWidth,
} from "../blocks/radial-features.ts";
import {
  expandedLogits,
  type HeadExpansion,
  headExpansion,
  headExpansionJson,
  headExpansionParameters,
} from "../blocks/random-expansion.ts";
import { initJson, initOf, type WeightInit, weightInit } from "../blocks/weight-init.ts";
import { ConfigReader } from "../config.ts";

export interface MlpConfig {
  readonly input: number;
  readonly hidden: readonly number[];
  readonly classes: number;
  readonly act: "relu" | "gelu" | "sigmoid";
  /** Before each activation. */
  readonly norm: BatchNorm | undefined;
  /** How hidden layers begin. */
  readonly init: WeightInit;
  /** In place of the linear head. */
  readonly keyValue: KeyValueHead | undefined;
  /** In place of the linear head. */
  readonly expansion: HeadExpansion | undefined;
  /** Beside the linear head. */
  readonly domainHeads: DomainHeads | undefined;
  /** Hidden units that inputs switch. */
  readonly dynamic: DynamicWidth | undefined;
  /** Before the first layer. */
  readonly radial: RadialFeatures | undefined;
  /** Clusters of inputs, whose hidden layers have parts of their own. */
  readonly route: ClusterRoute | undefined;
  /** Of the input, which hidden layers look at one by one. */
  readonly parts: InputParts | undefined;
  readonly problem: "single_label_classification" | "regression";
}

const ACTIVATIONS = { relu, gelu, sigmoid } as const;

/** Numbers of one part of the input. */
const partOf = ({ input, parts }: Pick<MlpConfig, "input" | "parts">): number => input / (parts?.parts ?? 1);

/** The linear head, which over several parts is another than that over one. */
const headOf = ({ parts }: Pick<MlpConfig, "parts">): string => (parts ? "joint.classifier" : "classifier");

/** Weights of the head; `linear` gives those of a linear one. */
const headParameters = (
  { keyValue, expansion, classes }: MlpConfig,
  width: number,
  linear: () => ParameterSpec[],
): ParameterSpec[] => {
  if (expansion) return headExpansionParameters(expansion, width, classes);
  return keyValue ? keyValueParameters(keyValue, width, classes) : linear();
};

/** What a hidden layer makes of x, before norm and activation. */
function products(
  net: Net,
  { radial }: MlpConfig,
  { module, x, routes, isFirst }: { module: string; x: Tensor; routes: Tensor | undefined; isFirst: boolean },
): Tensor {
  if (routes) return clusterLayer(net, module, x, routes);
  return isFirst && radial ? radialLayer(net, radial, module, x) : net.linear(x, module);
}

export const method: Architecture<MlpConfig> = {
  name: "mlp",
  title: "Multilayer perceptron",
  about: "classifier of vectors: linear layers with an activation between them",
  cite: "ingot",
  options: {},
  task: "classifier",
  regresses: ({ problem }) => problem === "regression",

  config(json, where) {
    const c = new ConfigReader(json, where);
    const input = c.count("input_size");
    const hidden = c.counts("hidden_sizes", [128]);
    const parts = inputParts(c, input);
    const radial = radialFeatures(c, input / (parts?.parts ?? 1));
    if (radial && hidden.length === 0)
      throw new UserError(`${where}: radial features are read by a hidden layer, and hidden_sizes has none`);
    const norm = batchNorm(c);
    const dynamic = dynamicWidth(c);
    if ((dynamic && (radial || parts)) || (norm && parts))
      throw new UserError(
        `${where}: ${dynamic ? "dynamic_width" : "hidden_norm"} does not go with ${parts ? "input_parts" : "radial"}`,
        "leave one of them out",
      );
    const route = clusterRoute(c);
    if (route && (radial || parts))
      throw new UserError(`${where}: cluster_route goes with neither radial nor input_parts`, "leave one of them out");
    return {
      ...{ input, hidden, parts, radial, norm, dynamic, route },
      classes: c.count("num_labels"),
      act: c.oneOf("hidden_act", ["relu", "gelu", "sigmoid"], "relu"),
      init: weightInit(c),
      keyValue: keyValueHead(c),
      expansion: headExpansion(c),
      domainHeads: domainHeads(c),
      problem: c.oneOf("problem_type", ["single_label_classification", "regression"], "single_label_classification"),
    };
  },

  implied: (c) => ({
    input_size: c.input,
    hidden_sizes: c.hidden,
    num_labels: c.classes,
    hidden_act: c.act,
    ...batchNormJson(c.norm),
    ...initJson(c.init),
    ...keyValueJson(c.keyValue),
    ...headExpansionJson(c.expansion),
    ...domainHeadsJson(c.domainHeads),
    ...dynamicJson(c.dynamic),
    ...radialJson(c.radial),
    ...partsJson(c.parts),
    ...clusterJson(c.route),
    problem_type: c.problem,
  }),

  sizes: (c) => ({
    layers: c.hidden.length,
    width: partsWidth(c.parts, c.hidden.at(-1) ?? partOf(c)),
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number, init: WeightInit = "he"): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [out, into], init: initOf(init, into), linear: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const first = c.radial ? radialWidth(c.radial) : partOf(c);
    const sizes = [first, ...c.hidden];
    const width = partsWidth(c.parts, c.hidden.at(-1) ?? partOf(c));
    return [
      ...(c.radial ? radialParameters(c.radial, partOf(c), c.hidden[0] ?? 0) : []),
      ...routeParameters(c.route, c.input),
      ...c.hidden.flatMap((out, i) => [
        ...linear(`layers.${i}`, sizes[i]!, out, c.init).filter(({ shape }) => shape.at(-1) !== 0),
        ...clusterParameters(c.route, `layers.${i}`, sizes[i]!, out),
        ...(c.norm ? batchNormParameters(c.norm, `norms.${i}`, out) : []),
        ...predictorParameters(c.dynamic, `predictors.${i}`, sizes[i]!, out),
      ]),
      ...(c.parts ? jointParameters(c.parts, sizes.at(-1)!, linear) : []),
      ...headParameters(c, width, () => linear(headOf(c), width, c.classes)),
      ...domainHeadParameters(c.domainHeads, (module) => linear(module, width, c.classes)),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const rows = inputs.batch * (c.parts?.parts ?? 1);
    let x = net.note("hidden.0", net.rec.reshape(inputs.x, [rows, partOf(c)])); // (B, D), or (B P, D) of P parts
    const routes = c.route && routed(net, c.route, x);
    for (const i of c.hidden.keys()) {
      const module = `layers.${i}`;
      const own = products(net, c, { module, x, routes, isFirst: i === 0 });
      const h = c.norm ? batchNormed(net, c.norm, `norms.${i}`, own, inputs) : own;
      const place = { module: `predictors.${i}`, layer: i, read: x, units: ACTIVATIONS[c.act](net.rec, h) };
      x = net.note(`hidden.${i + 1}`, dynamicUnits(net, c.dynamic, place, inputs));
    }
    return c.parts ? joined(net, c.parts, x, (h) => ACTIVATIONS[c.act](net.rec, h)) : x;
  },

  bounds: {
    head: "classifier",
    lacks(c) {
      if (c.keyValue) return "its head of keys and values is no linear layer";
      if (c.expansion) return "its head reads random units";
      if (c.domainHeads) return "it answers by several heads";
      if (c.dynamic) return "its units are switched by inputs";
      if (c.radial) return "its first layer reads radial features";
      if (c.parts) return "its layers look at parts of the input";
      if (c.route) return "its layers hang on the cluster of the input";
      if (c.act === "relu" || c.hidden.length === 0) return undefined;
      return c.act === "gelu" ? "gelu falls before it rises" : "bounds go through rectifiers alone";
    },
    forward(net, c, { center, radius }, heard) {
      const flat = (x: Tensor) => net.rec.reshape(x, [x.shape[0] ?? 0, c.input]);
      let box: Box = { center: flat(center), radius: flat(radius) };
      for (const i of c.hidden.keys()) {
        const own = linearBox(net, box, `layers.${i}`);
        const read = c.norm ? batchNormedBox(net, c.norm, `norms.${i}`, own) : own;
        heard(read);
        box = reluBox(net.rec, read);
      }
      return box;
    },
  },

  // (B, classes)
  head(net, { keyValue, expansion, domainHeads: heads, parts }, hidden) {
    if (heads) return mixedHeads(net.rec, domainLogits(net, heads, hidden), heads.gamma);
    if (expansion) return expandedLogits(net, hidden);
    return keyValue ? keyValueLogits(net, keyValue, hidden) : net.linear(hidden, headOf({ parts }));
  },
};
