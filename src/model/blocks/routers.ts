/**
 * Ways in which a router scores the experts, behind one interface: what it has for weights, and how it gets a logit for
 * every token and expert. What is done with the logits (the k best, their weights, balance) is the same for all.
 *
 *   softmax   the logits are a product with the gate. Shazeer et al. 2017, https://arxiv.org/abs/1701.06538
 *   sigmoid   so are these; each expert's score is its own. https://arxiv.org/abs/2412.19437
 *   noisy     in training logits + softplus(noise h) times standard normal values, with which the k best are drawn and
 *             weighed. Lepikhin et al., GShard 2020, https://arxiv.org/abs/2006.16668
 *   cosine    cos(projection h, embedding of the expert) / temperature, in a few dimensions. Chi et al., X-MoE 2022,
 *             https://arxiv.org/abs/2204.09179
 */
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import { softplus } from "../../tensor/ops/label-gap.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { normalNoise } from "../../tensor/ops/noise.ts";
import type { RouteOptions } from "../../tensor/ops/router.ts";
import { unitRows } from "../../tensor/ops/unit-rows.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Net, ParameterSpec } from "../architecture.ts";

export interface RouterSizes {
  readonly experts: number;
  readonly width: number;
  /** Standard deviation of new weights. */
  readonly std: number;
  /** Dimensions in which cosines are taken, and what divides them. */
  readonly router?: { readonly name: RouterName; readonly width: number; readonly temperature: number };
}

export interface Router {
  readonly scoring: NonNullable<RouteOptions["scoring"]>;
  /** Weights below `at`, the module of the experts, beside a gate (E, C). */
  readonly specs?: (at: string, sizes: RouterSizes) => readonly ParameterSpec[];
  /** What stands in the place of that gate. */
  readonly gate?: (at: string, sizes: RouterSizes) => ParameterSpec;
  /** h (N, C) -> logits (N, E). */
  readonly logits: (net: Net, at: string, sizes: RouterSizes, h: Tensor) => Tensor;
}

const product = (net: Net, at: string, _: RouterSizes, h: Tensor): Tensor => net.linear(h, `${at}.gate`);

export const ROUTERS = {
  softmax: { scoring: "softmax", logits: product },

  sigmoid: { scoring: "sigmoid", logits: product },

  noisy: {
    scoring: "softmax",
    specs: (at, { experts, width, std }) => [
      { name: `${at}.noise.weight`, shape: [experts, width], init: { std }, linear: true, routes: true },
    ],
    logits(net, at, _, h) {
      const { rec } = net;
      const clean = net.linear(h, `${at}.gate`);
      if (!rec.training) return clean;
      const width = softplus(rec, net.linear(h, `${at}.noise`)); // (N, E)
      return add(rec, clean, mul(rec, width, normalNoise(rec, clean, `${at}.noise`)));
    },
  },

  cosine: {
    scoring: "softmax",
    specs: (at, { width, std, router }) => [
      { name: `${at}.projection.weight`, shape: [router!.width, width], init: { std }, linear: true, routes: true },
    ],
    // A vector of each expert, and no linear layer, to which an adapter could add.
    gate: (at, { experts, std, router }) => ({
      name: `${at}.gate.weight`,
      shape: [experts, router!.width],
      ...{ init: { std }, routes: true },
    }),
    logits(net, at, { router }, h) {
      const { rec } = net;
      const projected = unitRows(rec, net.linear(h, `${at}.projection`)); // (N, width)
      const experts = unitRows(rec, net.weight(`${at}.gate.weight`)); // (E, width)
      return scale(rec, linear(rec, projected, experts), 1 / router!.temperature);
    },
  },
} as const satisfies Readonly<Record<string, Router>>;

export type RouterName = "softmax" | "sigmoid" | "noisy" | "cosine";
export const ROUTER_NAMES: readonly RouterName[] = ["softmax", "sigmoid", "noisy", "cosine"];

export const routerOf = ({ router }: Pick<RouterSizes, "router">): Router => ROUTERS[router?.name ?? "softmax"];
