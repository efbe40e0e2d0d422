/**
 * VeRA: random matrices that all layers share and nothing trains, with a learnt vector after each of them,
 * y = W x + b (B (d (A x))).
 *
 * Kopiczko et al., ICLR 2024, https://arxiv.org/abs/2310.11454, equation 2; in PEFT's form (peft/tuners/vera): A (r,
 * widest input) and B (widest output, r), of which a layer takes the first columns and rows. They are saved, so that no
 * generator has to be the same; for files of PEFT that hold only the key they are drawn as PyTorch does.
 */
import { UserError } from "../../../errors.ts";
import type { JsonObject } from "../../../json.ts";
import { splitColumns } from "../../../tensor/ops/columns.ts";
import { add, mul } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Setup } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import { refuseSet } from "../settings.ts";
import { kaimingFrom, mersenneTwister } from "../torch-random.ts";

const [A, B] = ["base_model.vera_A", "base_model.vera_B"] as const;

const OPTIONS = {
  adapter_rank: { type: "number.integer >= 1", default: 256, help: "rank of the adapter's matrices", value: "R" },
  d_initial: { type: "number", default: 0.1, help: "what the inner vectors begin as" },
} as const;

/** Sides of the widest targets. */
const widest = ({ targets }: Setup<typeof OPTIONS>) => ({
  into: Math.max(...targets.map(({ into }) => into)),
  out: Math.max(...targets.map(({ out }) => out)),
});

/** The seed of projections that a file does not hold. Throws UserError where it says none. */
function keyOf(json: JsonObject, where: string): number {
  const key = json.projection_prng_key ?? 0;
  if (typeof key === "number" && Number.isSafeInteger(key) && key >= 0) return key;
  throw new UserError(
    `${where}: projection_prng_key is ${JSON.stringify(key)}, expected a whole number from 0`,
    "the file holds no projections (save_projection false), which hang on it",
  );
}

export const method = adapterType({
  name: "vera",
  title: "VeRA",
  about: "learns vectors around two random matrices that all layers share",
  cite: "arXiv:2310.11454",
  options: OPTIONS,
  peftType: "VERA",
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["vera_lambda_b", "vera_lambda_d"],
  sharedParts: [A, B],
  keys: { adapter_rank: "r" },
  config: () => ({ bias: "none", projection_prng_key: 0, save_projection: true, vera_dropout: 0 }),
  check(json, where) {
    if (json.save_projection === false) keyOf(json, where);
    refuseSet(json, where, ["rank_pattern"]);
  },
  shared(setup) {
    const { adapter_rank: rank } = setup.values;
    const { into, out } = widest(setup);
    if (setup.json?.save_projection === false) {
      const word = mersenneTwister(keyOf(setup.json, setup.where));
      const a = kaimingFrom(word, rank, into);
      const held = { fixed: true, optional: true };
      return {
        [A]: { shape: [rank, into], begins: { values: a }, ...held },
        [B]: { shape: [out, rank], begins: { values: kaimingFrom(word, out, rank) }, ...held },
      };
    }
    return {
      [A]: { shape: [rank, into], begins: { uniform: Math.sqrt(6 / into) }, fixed: true },
      [B]: { shape: [out, rank], begins: { uniform: Math.sqrt(6 / rank) }, fixed: true },
    };
  },
  tensors: ({ out }, { values: { adapter_rank: rank, d_initial } }) => ({
    vera_lambda_b: { shape: [out], begins: "zeros" },
    vera_lambda_d: { shape: [rank], begins: { values: new Float32Array(rank).fill(d_initial) } },
  }),
  linear(layer, x) {
    const { rec, target, tensor, values } = layer;
    const wide = layer.shared(A); // (r, widest)
    const rest = wide.shape[1]! - target.into;
    const a = rest === 0 ? wide : splitColumns(rec, wide, [target.into, rest])[0]!; // (r, in)
    const b = rec.part(layer.shared(B), 0, [target.out, values.adapter_rank]); // (out, r)
    const inner = mul(rec, linear(rec, x, a), tensor("vera_lambda_d")); // (N, r)
    return add(rec, layer.whole(x), mul(rec, linear(rec, inner, b), tensor("vera_lambda_b")));
  },
  fold({ into, out, transposed, tensor, shared }, { values: { adapter_rank: rank } }) {
    const [left, right] = [shared(A), shared(B)];
    const [b, d] = [tensor("vera_lambda_b").values, tensor("vera_lambda_d").values];
    const width = left.shape[1]!;
    const a = new Float32Array(rank * into);
    for (let r = 0; r < rank; r++) for (let i = 0; i < into; i++) a[r * into + i] = d[r]! * left.values[r * width + i]!;
    const scaled = right.values.slice(0, out * rank);
    for (let i = 0; i < scaled.length; i++) scaled[i]! *= b[Math.floor(i / rank)]!;
    return { weight: { a, b: scaled, rank, scale: 1, transposed } };
  },
});
