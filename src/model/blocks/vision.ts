/**
 * Transformers over the patches of an image: a class token and patches at learnt positions, and blocks of attention and
 * a feed-forward network with LayerNorm before each. Dosovitskiy et al., ICLR 2021, https://arxiv.org/abs/2010.11929
 */
import { UserError } from "../../errors.ts";
import { gelu, quickGelu } from "../../tensor/ops/activation.ts";
import { add } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { layerNorm } from "../../tensor/ops/norm.ts";
import { patches } from "../../tensor/ops/patch.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs, Net } from "../architecture.ts";
import { type ConfigReader, expectHead } from "../config.ts";
import { headsLeft, type PrunedHeads } from "./pruned-heads.ts";

export interface VisionConfig {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly pruned: PrunedHeads;
  readonly image: number;
  readonly patch: number;
  readonly channels: number;
  readonly eps: number;
  readonly std: number;
  readonly activation: VisionActivation;
}

/** GELU by erf, or x sigmoid(1.702 x). */
export type VisionActivation = "gelu" | "quick_gelu";

/** Names of tensors before the blocks, and of modules in a block. */
export interface VisionNames {
  readonly classToken: string;
  readonly positions: string;
  readonly patch: { readonly weight: string; readonly bias?: string };
  readonly layer: (index: number) => string;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly out: string;
  readonly up: string;
  readonly down: string;
  /** Norms before attention and before the feed-forward network. */
  readonly norms: readonly [attention: string, feedForward: string];
}

/** Tokens of an image: its patches and the class token. */
export const tokensOf = ({ image, patch }: VisionConfig): number => (image / patch) ** 2 + 1;

/** Reads the sizes that these models share; those left out are of the base size. Throws UserError. */
export function visionConfig(
  c: ConfigReader,
  defaults: { readonly patch: number; readonly eps: number; readonly activation: VisionActivation },
): VisionConfig {
  const width = c.count("hidden_size", 768);
  const heads = c.count("num_attention_heads", 12);
  expectHead(c.where, c.headWidth(width, heads, { width: "hidden_size", heads: "num_attention_heads" }));
  const image = c.count("image_size", 224);
  const patch = c.count("patch_size", defaults.patch);
  if (image % patch !== 0)
    throw new UserError(
      `${c.where}: image_size ${image} is no multiple of patch_size ${patch}`,
      "patches that an image does not fill are left out elsewhere; make the images as large as their patches",
    );
  return {
    width,
    inner: c.count("intermediate_size", 3072),
    layers: c.count("num_hidden_layers", 12),
    heads,
    pruned: new Map(),
    image,
    patch,
    channels: c.count("num_channels", 3),
    eps: c.number("layer_norm_eps", defaults.eps, { least: 0 }),
    std: c.number("initializer_range", 0.02, { least: 0 }),
    activation: c.oneOf<VisionActivation>("hidden_act", ["gelu", "quick_gelu"], defaults.activation),
  };
}

/** LayerNorm with a bias. (N, C) -> (N, C) */
export const visionNorm = (net: Net, c: VisionConfig, name: string, x: Tensor): Tensor =>
  layerNorm(net.rec, x, net.weight(`${name}.weight`), net.weight(`${name}.bias`), { eps: c.eps });

/** The config as it is for the images of a batch, which may be smaller than the model's. */
export function seenAt<C extends VisionConfig>(c: C, inputs: Inputs): C {
  if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
  const { shape } = inputs.x;
  return shape.length === 4 && shape[3] !== c.image ? { ...c, image: shape[3]! } : c;
}

/**
 * Between the places of a grid of `from` patches a side, those of one of `to`: (to^2 + 1, from^2 + 1), bilinear with
 * the grids' borders on one another. The first token's place stays.
 */
export function gridWeights(from: number, to: number): Float32Array {
  const width = from ** 2 + 1;
  const weights = new Float32Array((to ** 2 + 1) * width);
  weights[0] = 1;
  const along = (i: number): readonly (readonly [place: number, share: number])[] => {
    const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    const low = Math.min(from - 1, Math.floor(at));
    return [
      [low, 1 - (at - low)],
      [Math.min(from - 1, low + 1), at - low],
    ];
  };
  for (let row = 0; row < to; row++)
    for (let column = 0; column < to; column++)
      for (const [y, down] of along(row))
        for (const [x, right] of along(column))
          weights[(row * to + column + 1) * width + y * from + x + 1]! += down * right;
  return weights;
}

/** Positions (T, C) of images of the config's side, of a model whose own are `full` wide. */
function positionsAt(net: Net, c: VisionConfig, names: VisionNames, full: number): Tensor {
  const [from, to] = [full / c.patch, c.image / c.patch];
  const own = net.rec.reshape(net.weight(names.positions), [from ** 2 + 1, c.width]);
  if (from === to) return own;
  const between = net.rec.constant(gridWeights(from, to), [to ** 2 + 1, from ** 2 + 1], `places of ${to}`);
  return linear(net.rec, between, own, { transposed: true });
}

/**
 * Images (B, channels, image, image) as rows of the sequence at their positions: (B T, C). The model's own images are
 * `full` wide; positions of smaller ones are interpolated.
 */
export function imageTokens(net: Net, c: VisionConfig, names: VisionNames, inputs: Inputs, full = c.image): Tensor {
  if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
  const { rec } = net;
  const { batch } = inputs;
  const tokens = tokensOf(c);
  const images = rec.reshape(inputs.x, [batch, c.channels, c.image, c.image]);
  const cut = patches(rec, images, { size: c.patch }); // (B P, channels size^2)
  const projected = net.project(cut, names.patch.weight, names.patch.bias); // (B P, C)
  // Every row of the sequence picks its patch, its position, and the first one the class token; -1 picks nothing.
  const pick = (label: string, index: (image: number, token: number) => number) =>
    rec.constant(
      Int32Array.from({ length: batch * tokens }, (_, i) => index(Math.floor(i / tokens), i % tokens)),
      [batch * tokens],
      label,
    );
  const rows = (name: string, n: number) => rec.reshape(net.weight(name), [n, c.width]);
  const placed = embedding(
    rec,
    pick("patches", (image, token) => (token === 0 ? -1 : image * (tokens - 1) + token - 1)),
    projected,
  );
  const classes = embedding(
    rec,
    pick("class tokens", (_, token) => (token === 0 ? 0 : -1)),
    rows(names.classToken, 1),
  );
  const positions = embedding(
    rec,
    pick("positions", (_, token) => token),
    positionsAt(net, c, names, full),
  );
  return add(rec, add(rec, placed, classes), positions);
}

/** Gives the hidden units that a block goes on with, of what they were made of (N, C) and all of them (N, inner). */
type Switched = (layer: number, read: Tensor, units: Tensor) => Tensor;

/** The blocks. (B T, C) -> (B T, C) */
export function visionLayers(
  net: Net,
  c: VisionConfig,
  names: VisionNames,
  tokens: Tensor,
  switched: Switched = (_layer, _read, units) => units,
): Tensor {
  const { rec } = net;
  const activated = c.activation === "gelu" ? gelu : quickGelu;
  const headDim = c.width / c.heads;
  return net.layers(c.layers, tokens, (layer, x) => {
    const at = (name: string) => `${names.layer(layer)}.${name}`;
    const h = visionNorm(net, c, at(names.norms[0]), x);
    const heads = headsLeft(c, layer);
    const shape = { heads, kvHeads: heads, headDim, causal: false };
    const [q, k, v] = [names.q, names.k, names.v].map((name) => net.linear(h, at(name)));
    const mixed = net.linear(net.attend(q!, k!, v!, { layer, ...shape }), at(names.out), { add: x });
    const read = visionNorm(net, c, at(names.norms[1]), mixed);
    const inner = switched(layer, read, activated(rec, net.linear(read, at(names.up))));
    return net.linear(inner, at(names.down), { add: mixed });
  });
}

/** The rows of the class tokens: (B T, C) -> (B, C) */
export function classRows(net: Net, c: VisionConfig, x: Tensor, { batch }: Pick<Inputs, "batch">): Tensor {
  const tokens = tokensOf(c);
  const first = net.rec.constant(
    Int32Array.from({ length: batch }, (_, i) => i * tokens),
    [batch],
    "first tokens",
  );
  return embedding(net.rec, first, x);
}
