/**
 * Which tensor of a decoder is turned how, when its residual stream is rotated: x becomes x Q, Q orthogonal. RMSNorm
 * without gains does not see it. Ashkboos et al., QuaRot, NeurIPS 2024, https://arxiv.org/abs/2404.00456
 */
import { UserError } from "../../errors.ts";
import type { DenseLayout } from "../../model/dense-layout.ts";

/** What becomes of a tensor. Names are those of parameters. */
export interface Turn {
  /** The norm whose gains its columns take over before they are turned. */
  readonly gain?: string;
  /** Columns are of the residual stream: W Q. */
  readonly columns?: true;
  /** Rows, or values of a vector, are of it: Q^T W. */
  readonly rows?: true;
  /** The heads of its layer, by rows (from `first` on) or by columns, turn by a rotation of their own. */
  readonly heads?: { readonly layer: number; readonly by: "rows" | "columns"; readonly first: number };
  /** A norm's gains, which become 1. */
  readonly ones?: true;
}

export interface RotationPlan {
  /** Gains of norms are 1 + w. */
  readonly plusOne: boolean;
  readonly turns: ReadonlyMap<string, Turn>;
}

/** Throws UserError for decoders whose residual stream cannot be rotated. */
export function rotationPlan(layout: DenseLayout, name: string, withHeads: boolean): RotationPlan {
  const { norms, norm, parallel, fused, layers, heads, kvHeads, headDim } = layout;
  const [first, second] = [norms.attention.before, norms.feedForward.before];
  const behind = [norms.attention, norms.feedForward].flatMap(({ after, sum }) => [after, sum]).find(Boolean);
  if (norm === "layer" || behind !== undefined || !first || !(second || parallel))
    throw new UserError(
      `${name} cannot be rotated: ${norm === "layer" ? "its norms take the mean away" : "it has norms behind its layers"}`,
      "rotations are of decoders whose blocks read what an RMSNorm gives, as llama, mistral, qwen2 and qwen3",
    );
  const turns = new Map<string, Turn>();
  turns.set("model.embed_tokens.weight", { columns: true });
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`;
    const gains = [first, second ?? first].map((gain) => `${prefix}.${gain}.weight`);
    for (const gain of gains) turns.set(gain, { ones: true });
    const reads = (module: string, ...names: string[]) => {
      const gain = gains[module === "mlp" ? 1 : 0]!;
      for (const one of names) turns.set(`${prefix}.${module}.${one}_proj.weight`, { gain, columns: true });
    };
    reads("self_attn", ...(fused.qkv ? ["qkv"] : ["q", "k", "v"]));
    reads("mlp", ...(fused.gateUp ? ["gate_up"] : ["gate", "up"]));
    for (const writer of ["self_attn.o", "mlp.down"])
      for (const part of ["weight", "bias"]) turns.set(`${prefix}.${writer}_proj.${part}`, { rows: true });
    if (!withHeads) continue;
    const value = `${prefix}.self_attn.${fused.qkv ? "qkv" : "v"}_proj`;
    const ofValues = { layer, by: "rows", first: fused.qkv ? (heads + kvHeads) * headDim : 0 } as const;
    turns.set(`${value}.weight`, { ...turns.get(`${value}.weight`), heads: ofValues });
    turns.set(`${value}.bias`, { heads: ofValues });
    const output = `${prefix}.self_attn.o_proj.weight`;
    turns.set(output, { ...turns.get(output), heads: { layer, by: "columns", first: 0 } });
  }
  turns.set("model.norm.weight", { ones: true });
  turns.set("lm_head.weight", { gain: "model.norm.weight", columns: true });
  return { plusOne: norm === "rms-plus-one", turns };
}
