/**
 * SHERL: a module beside the model reads what its frozen layers give, and its result goes through the last layers in
 * place of theirs; no gradient enters the layers before. Diao et al., ECCV 2024, https://arxiv.org/abs/2407.07523
 *
 *   u_i = LN(P_i h_i)     s = guided mix of u_1 ... u_(D-1) by u_D     o = LN(V relu(s)) + tanh(gamma / T) h_D
 *
 * h_i is the state after i of D layers. P_i and V have biases. The module reads every token alone, so that a cache
 * stays right. PEFT has no such type: the format is our own.
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { relu } from "../../../tensor/ops/activation.ts";
import { dropout } from "../../../tensor/ops/dropout.ts";
import { add, mul, scale, stopGradient, tanh } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { layerNorm } from "../../../tensor/ops/norm.ts";
import { rowsOf, type Tensor } from "../../../tensor/tensor.ts";
import type { ModelSizes } from "../../architecture.ts";
import type { Everywhere, TensorSpec } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import { guidedMix } from "../guided-mix.ts";

const OPTIONS = {
  sherl_late: {
    type: "number.integer >= 1",
    default: 1,
    help: "last layers, which run on what the module gives",
    value: "N",
  },
  sherl_reduction: {
    type: "number.integer >= 1",
    default: 2,
    help: "the module is so many times narrower",
    value: "R",
  },
  sherl_gate: {
    type: "number",
    default: 0,
    help: "gate of the deepest state in the module's result at first; at 0 it has no part",
    value: "G",
  },
  sherl_temperature: { type: "number > 0", default: 0.1, help: "tanh(gate / T) is its share", value: "T" },
  sherl_dropout: {
    type: "0 <= number < 1",
    default: 0.1,
    help: "dropout of the module's result, without the gated state",
    value: "P",
  },
} as const;

const EPS = 1e-5;

/** Layers that the module reads. Throws UserError where it has no two of them beside the deepest. */
function readLayers({ sherl_late: late }: Values<typeof OPTIONS>, { layers }: ModelSizes, where: string): number {
  const read = layers - late;
  if (read < 3)
    throw new UserError(
      `${where}: of ${layers} layers the last ${late} run on what the module gives, and it reads 3 others at least`,
      `${late > 1 ? "lower --sherl-late, or " : ""}take another type of adapter`,
    );
  return read;
}

const side = ({ sherl_reduction: reduction }: Values<typeof OPTIONS>, width: number): number =>
  Math.max(1, Math.floor(width / reduction));

/** W x + c of a matrix, and LN of that. */
function normed({ rec, shared }: Everywhere<typeof OPTIONS>, x: Tensor, matrix: string, norm: string): Tensor {
  const y = linear(rec, x, shared(`${matrix}.weight`), { bias: shared(`${matrix}.bias`) });
  return layerNorm(rec, y, shared(`${norm}.gain`), shared(`${norm}.offset`), { eps: EPS });
}

/** A matrix with its bias, drawn as PyTorch draws them, and the norm of what it gives. */
function normedSpecs(matrix: string, norm: string, out: number, into: number): [string, TensorSpec][] {
  const begins = { uniform: 1 / Math.sqrt(into) };
  return [
    [`${matrix}.weight`, { shape: [out, into], begins }],
    [`${matrix}.bias`, { shape: [out], begins }],
    [`${norm}.gain`, { shape: [out], begins: "ones" }],
    [`${norm}.offset`, { shape: [out], begins: "zeros" }],
  ];
}

export const method = adapterType({
  name: "sherl",
  title: "SHERL",
  about: "a module beside frozen layers, that mixes what they give for the last ones; no gradient enters the others",
  cite: "arXiv:2407.07523",
  options: OPTIONS,
  takes: [],
  parts: [],
  sharedParts: [
    ...["sherl.*.down.weight", "sherl.*.down.bias", "sherl.*.norm.gain", "sherl.*.norm.offset"],
    ...["sherl.weigh.weight", "sherl.weigh.bias", "sherl.gate"],
    ...["sherl.up.weight", "sherl.up.bias", "sherl.norm.gain", "sherl.norm.offset"],
  ],
  tensors: () => ({}),
  shared({ values, sizes, where }) {
    if (!sizes) throw new UserError(`${where}: SHERL has no weights to fold into`);
    const read = readLayers(values, sizes, where);
    const { width } = sizes;
    const narrow = side(values, width);
    const begins = { uniform: 1 / Math.sqrt(narrow) };
    const layers = Array.from({ length: read }, (_, i) =>
      normedSpecs(`sherl.${i + 1}.down`, `sherl.${i + 1}.norm`, narrow, width),
    );
    return Object.fromEntries<TensorSpec>([
      ...layers.flat(),
      ["sherl.weigh.weight", { shape: [narrow], begins }],
      ["sherl.weigh.bias", { shape: [1], begins }],
      ...normedSpecs("sherl.up", "sherl.norm", width, narrow),
      ["sherl.gate", { shape: [1], begins: { values: Float32Array.of(values.sherl_gate) } }],
    ]);
  },
  note(place, name, x) {
    const { rec, values, shared, sizes, noted } = place;
    const read = sizes.layers - values.sherl_late;
    if (name !== `hidden.${read}`) return x;
    const state = (i: number) => {
      const given = i === read ? x : noted(`hidden.${i}`);
      const { width } = rowsOf(given);
      if (width === sizes.width) return stopGradient(rec, given);
      throw new UserError(
        `SHERL is for layers of one width; layer ${i} of this model gives ${width} values and the last ${sizes.width}`,
        "take another type of adapter",
      );
    };
    const narrow = Array.from({ length: read }, (_, i) =>
      normed(place, state(i + 1), `sherl.${i + 1}.down`, `sherl.${i + 1}.norm`),
    );
    const weigh = { w: shared("sherl.weigh.weight"), bias: shared("sherl.weigh.bias") };
    const { mixed } = guidedMix(rec, narrow.slice(0, -1), narrow.at(-1)!, weigh);
    const made = normed(place, relu(rec, mixed), "sherl.up", "sherl.norm");
    const share = tanh(rec, scale(rec, shared("sherl.gate"), 1 / values.sherl_temperature));
    const dropped = dropout(rec, made, { p: values.sherl_dropout, key: "sherl" });
    return add(rec, dropped, mul(rec, state(read), rec.reshape(share, [1, 1])));
  },
});
