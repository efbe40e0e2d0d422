/**
 * Layers with a light part of their own for every cluster of inputs, on top of what all share. Inputs e are clustered
 * by routing, without labels: v = M e with M drawn once and never trained, and centres c_k that follow the batches,
 *
 *   w_k = softmax_k(v . c_k),  c_k <- (1 - gamma) c_k + gamma squash(sum_b w_bk v_b),  squash(s) = s |s| / (1 + |s|^2)
 *
 * A row goes to the cluster with the largest w alone, whose layers have W = W_shared * W_k and b = b_shared + b_k, from
 * W_k = 1 and b_k = 0. Li et al., AdaptDHM, 2022, https://arxiv.org/abs/2211.12105; routes take no gradient.
 *
 * config.json has `cluster_route`: `clusters` K, `size` of v (8), `momentum` gamma (0.1) and `iterations` of the
 * routing in a batch (1).
 */

import { follow } from "../../tensor/ops/batch-norm.ts";
import { add, addScalar, div, mul, scale, sqrt, square, stopGradient, sumTo } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import { topCount } from "../../tensor/ops/top-mass.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface ClusterRoute {
  readonly clusters: number;
  readonly size: number;
  readonly momentum: number;
  readonly iterations: number;
}

/** The key of config.json. */
export const CLUSTER_ROUTE = "cluster_route";

/** Reads it; undefined where all rows take the same layers. Throws UserError. */
export function clusterRoute(c: ConfigReader): ClusterRoute | undefined {
  const json = c.object(CLUSTER_ROUTE);
  if (!json) return undefined;
  const own = new ConfigReader(json, `${c.where}: ${CLUSTER_ROUTE}`);
  return {
    clusters: own.count("clusters"),
    size: own.count("size", 8),
    momentum: Math.min(1, own.number("momentum", 0.1, { least: 0 })),
    iterations: own.count("iterations", 1),
  };
}

/** How config.json says it. */
export const clusterJson = (route: ClusterRoute | undefined): Json => (route ? { [CLUSTER_ROUTE]: route } : {});

/** The map of inputs of `input` numbers, and the centres. */
export const routeParameters = (route: ClusterRoute | undefined, input: number): ParameterSpec[] =>
  route
    ? [
        {
          name: "route.map.weight",
          shape: [route.size, input],
          init: { std: 1 / Math.sqrt(input) },
          buffer: true,
          small: true,
        },
        {
          ...{ name: "route.centres", shape: [route.clusters, route.size], small: true },
          ...{ init: { std: 0.5 / Math.sqrt(route.size) }, buffer: true, running: true },
        },
      ]
    : [];

/** What clusters have of a layer. */
export const clusterParameters = (
  route: ClusterRoute | undefined,
  module: string,
  into: number,
  out: number,
): ParameterSpec[] =>
  Array.from({ length: route?.clusters ?? 0 }, (_, k): ParameterSpec[] => [
    { name: `${module}.clusters.${k}.weight`, shape: [out, into], init: "ones", small: true },
    { name: `${module}.clusters.${k}.bias`, shape: [out], init: "zeros" },
  ]).flat();

/** Centres after a look at v (B, R) with weights (B, K). */
function moved(rec: Recorder, v: Tensor, weights: Tensor): Tensor {
  const [rows = 0, size = 0] = v.shape;
  const clusters = weights.shape.at(-1) ?? 0;
  const each = mul(rec, rec.reshape(weights, [rows, clusters, 1]), rec.reshape(v, [rows, 1, size]));
  const sums = rec.reshape(sumTo(rec, each, [1, clusters, size]), [clusters, size]);
  const length = sqrt(rec, addScalar(rec, sumTo(rec, square(rec, sums), [clusters, 1]), 1e-12));
  return mul(rec, sums, div(rec, length, addScalar(rec, square(rec, length), 1)));
}

/**
 * Which cluster each row takes, (B, K) of 0 and 1. In training (`net.statistics` "batch") the centres follow the rows.
 */
export function routed(net: Net, { momentum, iterations }: ClusterRoute, x: Tensor): Tensor {
  const { rec } = net;
  const v = stopGradient(rec, linear(rec, stopGradient(rec, x), net.weight("route.map.weight"))); // (B, R)
  const centres = stopGradient(rec, net.weight("route.centres"));
  const weightsBy = (c: Tensor) => softmax(rec, linear(rec, v, c));
  const weights = weightsBy(centres);
  if (net.statistics === "batch") {
    let now = moved(rec, v, weights);
    for (let i = 1; i < iterations; i++) {
      const between = add(rec, scale(rec, centres, 1 - momentum), scale(rec, now, momentum));
      now = moved(rec, v, weightsBy(between));
    }
    follow(rec, now, centres, rec.constant(Float32Array.of(momentum), [1], "momentum of centres"));
  }
  return net.note("routes", topCount(rec, weights, 1));
}

/** A layer's products with x (B, in), row by row by the weights of its cluster: (B, out). */
export function clusterLayer(net: Net, module: string, x: Tensor, routes: Tensor): Tensor {
  const { rec } = net;
  const [rows = 0, clusters = 0] = routes.shape;
  const [shared, bias] = [net.weight(`${module}.weight`), net.weight(`${module}.bias`)];
  const parts = Array.from({ length: clusters }, (_, k) => {
    const own = mul(rec, shared, net.weight(`${module}.clusters.${k}.weight`));
    const y = linear(rec, x, own, { bias: add(rec, bias, net.weight(`${module}.clusters.${k}.bias`)) });
    const at = rec.constant(
      Float32Array.from({ length: clusters }, (_, i) => (i === k ? 1 : 0)),
      [1, clusters],
      `cluster ${k}`,
    );
    return mul(rec, y, sumTo(rec, mul(rec, routes, at), [rows, 1]));
  });
  return parts.reduce((sum, part) => add(rec, sum, part));
}
