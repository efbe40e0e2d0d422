/**
 * An aggregator of experts: a transformer of one layer over as many tokens as there are experts, each token what an
 * expert reads of a row, and the mean over the tokens behind it. On values that are differentiable twice.
 *
 *   h = x + attention(norm(x)),  t = mean over tokens of h + up-and-down(norm(h))
 *
 * There are no places: the order of the experts tells it nothing but what their features do.
 *
 * Zhong et al., Meta-DMoE: Adapting to Domain Shift by Meta-Distillation from Mixture-of-Experts, NeurIPS 2022,
 * https://arxiv.org/abs/2210.03885
 */
import type { Random } from "../../data/random.ts";
import type { ParameterSpec } from "../../model/architecture.ts";
import { drawn } from "../../model/fresh.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import {
  add,
  addRow,
  exp,
  mul,
  mulRow,
  power,
  relu,
  repeat,
  shift,
  sub,
  sumOver,
  times,
} from "../../tensor/twice/ops.ts";
import { constant, type Value } from "../../tensor/twice/value.ts";
import { linear, type Weights, weightOf } from "./pass.ts";

const EPSILON = 1e-5;

export interface AggregatorForm {
  /** Numbers of a token, a multiple of `heads`. */
  readonly width: number;
  readonly heads: number;
  /** Classes of the head that it is trained with at first. */
  readonly classes: number;
}

/** Its weights, with those of a head for classes. */
export function aggregatorSpecs({ width, classes }: AggregatorForm): ParameterSpec[] {
  const layer = (name: string, into: number, out: number): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [out, into], init: { std: Math.sqrt(1 / into) } },
    { name: `${name}.bias`, shape: [out], init: "zeros" },
  ];
  const norm = (name: string): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [width], init: "ones" },
    { name: `${name}.bias`, shape: [width], init: "zeros" },
  ];
  return [
    ...norm("attention.norm"),
    ...["query", "key", "value", "output"].flatMap((name) => layer(`attention.${name}`, width, width)),
    ...norm("feed_forward.norm"),
    ...layer("feed_forward.up", width, 2 * width),
    ...layer("feed_forward.down", 2 * width, width),
    ...layer("head", width, classes),
  ];
}

export const freshAggregator = (form: AggregatorForm, seed: number): Map<string, Value> =>
  new Map(
    aggregatorSpecs(form).map((spec) => {
      const values = drawn(spec, `aggregator.${spec.name}`, sizeOf(spec.shape), seed);
      return [spec.name, constant(values, spec.shape)] as const;
    }),
  );

function layerNorm(weights: Weights, module: string, x: Value): Value {
  const [n = 0, width = 0] = x.shape;
  const wide = (row: Value) => repeat(row, [n, width, 1], x.shape);
  const meanOf = (of: Value) => times(sumOver(of, [n, width, 1], [n]), 1 / width);
  const apart = sub(x, wide(meanOf(x)));
  const scale = power(shift(meanOf(mul(apart, apart)), EPSILON), -0.5);
  return addRow(
    mulRow(mul(apart, wide(scale)), weightOf(weights, `${module}.weight`)),
    weightOf(weights, `${module}.bias`),
  );
}

/** What each token takes of all: tokens (n, width) each, the same. */
function attended(weights: Weights, tokens: readonly Value[], heads: number): Value[] {
  const [n = 0, width = 0] = tokens[0]!.shape;
  const each = width / heads;
  const of = (name: string) => tokens.map((token) => linear(weights, `attention.${name}`, token));
  const [queries, keys, values] = [of("query"), of("key"), of("value")];
  const wide = (x: Value) => repeat(x, [n * heads, each, 1], [n, width]);
  return queries.map((query) => {
    const scores = keys.map((key) =>
      times(sumOver(mul(query, key), [n * heads, each, 1], [n * heads]), 1 / Math.sqrt(each)),
    );
    const most = constant(
      scores.map(({ data }) => data).reduce((a, b) => a.map((x, i) => Math.max(x, b[i]!))),
      [n * heads],
    );
    const shares = scores.map((score) => exp(sub(score, most)));
    const total = power(shares.reduce(add), -1);
    const taken = values.map((value, i) => mul(value, wide(mul(shares[i]!, total)))).reduce(add);
    return linear(weights, "attention.output", taken);
  });
}

/**
 * What the experts' features (n, width) come to: (n, width). With `drop` and a source of chance, what attention and the
 * feed-forward network add is dropped with that share.
 */
export function aggregated(
  weights: Weights,
  { heads }: Pick<AggregatorForm, "heads">,
  features: readonly Value[],
  dropping?: { readonly drop: number; readonly random: Random },
): Value {
  const dropped = (x: Value): Value => {
    if (!dropping || dropping.drop === 0) return x;
    const { drop, random } = dropping;
    return mul(
      x,
      constant(
        Float64Array.from(x.data, () => (random.uniform() < drop ? 0 : 1 / (1 - drop))),
        x.shape,
      ),
    );
  };
  const read = features.map((token) => layerNorm(weights, "attention.norm", token));
  const taken = attended(weights, read, heads).map((x, i) => add(features[i]!, dropped(x)));
  const made = taken.map((x) => {
    const up = relu(linear(weights, "feed_forward.up", layerNorm(weights, "feed_forward.norm", x)));
    return add(x, dropped(linear(weights, "feed_forward.down", up)));
  });
  return times(made.reduce(add), 1 / made.length);
}
