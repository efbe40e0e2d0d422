/**
 * A denoiser of vectors: from a row with noise of a known level, and perhaps its class, to the row as it was.
 *
 *   e    = silu(N phi(log(sigma) / 4) + n + C[class])
 *   h    = W (c_in x) + w,  and for each layer  h <- h + V silu(U h + u + E e) + v
 *   D(x) = c_skip x + c_out (O silu(h) + o)
 *
 * phi are sines and cosines, c_in, c_skip and c_out numbers of the level (run/denoising/levels.ts); the last row of C
 * is that of no class. Karras et al. 2022, https://arxiv.org/abs/2206.00364, with the boundary of Song and Dhariwal
 * 2023, https://arxiv.org/abs/2310.14189: at the least level D(x) is x. An architecture of our own, named like the
 * others.
 */
import { UserError } from "../../errors.ts";
import { silu } from "../../tensor/ops/activation.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Inputs, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";
import type { NoiseInputs } from "../noise.ts";

export interface DenoiserConfig {
  readonly input: number;
  readonly width: number;
  readonly layers: number;
  readonly classes: number;
  readonly frequencies: number;
  readonly low: number;
  readonly high: number;
  readonly data: number;
}

/** Rows and their noise. Throws UserError where nothing says it. */
function noisy(inputs: Inputs | undefined): { readonly x: Tensor; readonly noise: NoiseInputs } {
  if (inputs && "x" in inputs && inputs.noise) return { x: inputs.x, noise: inputs.noise };
  throw new UserError(
    "a denoiser reads rows with a level of noise, and here none is said",
    "bun run sample vectors draws from it, bun run evaluate --probe energy-distance measures it",
  );
}

export const method: Architecture<DenoiserConfig> = {
  name: "denoiser",
  title: "Denoiser of vectors",
  about: "denoiser and one-step generator of vectors, by level of noise and perhaps by class",
  cite: "arXiv:2206.00364",
  options: {},
  task: "denoiser",

  config(json, where) {
    const c = new ConfigReader(json, where);
    const low = c.number("sigma_min", 0.002, { least: 0, open: true });
    const high = c.number("sigma_max", 80, { least: 0, open: true });
    if (high <= low)
      throw new UserError(
        `${where}: sigma_max must be above sigma_min; it is ${high}, and that ${low}`,
        "80 and 0.002",
      );
    return {
      input: c.count("input_size"),
      width: c.count("hidden_size", 128),
      layers: c.count("num_hidden_layers", 3),
      classes: c.countOrNone("num_labels", 0),
      frequencies: c.count("noise_frequencies", 8),
      ...{ low, high },
      data: c.number("sigma_data", 0.5, { least: 0, open: true }),
    };
  },

  implied: (c) => ({
    input_size: c.input,
    hidden_size: c.width,
    num_hidden_layers: c.layers,
    num_labels: c.classes,
    noise_frequencies: c.frequencies,
    sigma_min: c.low,
    sigma_max: c.high,
    sigma_data: c.data,
  }),

  sizes: (c) => ({
    layers: c.layers,
    width: c.width,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
    noise: { frequencies: c.frequencies, low: c.low, high: c.high, data: c.data },
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number, gain = 1): ParameterSpec[] => [
      { name: `${module}.weight`, shape: [out, into], init: { std: gain / Math.sqrt(into) }, linear: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const level = (module: string): ParameterSpec => ({
      ...{ name: `${module}.weight`, shape: [c.width, c.width], linear: true },
      init: { std: 1 / Math.sqrt(c.width) },
    });
    return [
      ...linear("noise", 2 * c.frequencies, c.width),
      ...(c.classes > 0
        ? [{ name: "classes.weight", shape: [c.classes + 1, c.width], init: { std: 1 }, table: true } as const]
        : []),
      ...linear("input", c.input, c.width),
      ...Array.from({ length: c.layers }, (_, i) => [
        ...linear(`layers.${i}.up`, c.width, c.width),
        level(`layers.${i}.level`),
        ...linear(`layers.${i}.down`, c.width, c.width, 0.5),
      ]).flat(),
      ...linear("output", c.width, c.input, 0.1),
    ];
  },

  // (B, width)
  forward(net, c, inputs) {
    const { x: given, noise } = noisy(inputs);
    const { rec } = net;
    const told = net.linear(noise.features, "noise"); // (B or 1, width)
    const level = silu(rec, noise.classes ? add(rec, told, net.embed(noise.classes, "classes")) : told);
    const x = rec.reshape(given, [inputs.batch, c.input]);
    let h = net.note("hidden.0", net.linear(mul(rec, x, noise.into), "input"));
    for (let i = 0; i < c.layers; i++) {
      const up = silu(rec, add(rec, net.linear(h, `layers.${i}.up`), net.linear(level, `layers.${i}.level`)));
      h = net.note(`hidden.${i + 1}`, net.linear(up, `layers.${i}.down`, { add: h }));
    }
    return silu(rec, h);
  },

  // (B, input): the row as it was
  head(net, c, hidden, inputs) {
    const { x, noise } = noisy(inputs);
    const { rec } = net;
    const rows = rec.reshape(x, [hidden.shape[0] ?? 0, c.input]);
    return add(rec, mul(rec, rows, noise.skip), mul(rec, net.linear(hidden, "output"), noise.out));
  },
};
