/**
 * Where the inputs of layers can be scaled: what makes them is the gain of a norm, or rows of another matrix, whose
 * scale goes through unchanged to the columns that read them.
 */
import type { DenseLayout } from "../model/dense-layout.ts";

/** What makes the inputs of layers. Names are those of parameters. */
export type Maker =
  /** Gains of a norm, 1 + w with `plusOne`. */
  | { readonly norm: string; readonly plusOne: boolean }
  /** Rows of a matrix from `first` on, and its bias where it has one. */
  | { readonly rows: string; readonly bias?: string; readonly first: number };

export interface Fold {
  readonly maker: Maker;
  /** Weights of all that reads them. */
  readonly readers: readonly string[];
}

/** Of block `layer` of a dense decoder. */
export function foldsOf(layout: DenseLayout, layer: number): Fold[] {
  const { norms, norm, parallel, fused, bias, heads, kvHeads, headDim, inner } = layout;
  const prefix = `model.layers.${layer}`;
  const names = (module: string, ...layers: string[]) =>
    layers.map((name) => `${prefix}.${module}.${name}_proj.weight`);
  const attention = fused.qkv ? names("self_attn", "qkv") : names("self_attn", "q", "k", "v");
  const mlp = fused.gateUp ? names("mlp", "gate_up") : names("mlp", "gate", "up");
  const behind = (name: string | undefined, readers: readonly string[]): Fold[] =>
    name ? [{ maker: { norm: `${prefix}.${name}.weight`, plusOne: norm === "rms-plus-one" }, readers }] : [];
  const [first, second] = [norms.attention.before, norms.feedForward.before];
  const rows = (name: string, first: number, hasBias: boolean): Maker => ({
    ...{ rows: name, first },
    ...(hasBias ? { bias: name.replace(/weight$/, "bias") } : {}),
  });
  const value = rows(attention.at(-1)!, fused.qkv ? (heads + kvHeads) * headDim : 0, bias.qkv);
  const up = rows(mlp.at(-1)!, fused.gateUp ? inner : 0, bias.mlp);
  return [
    ...behind(first, parallel ? [...attention, ...mlp] : attention),
    ...(parallel ? [] : behind(second, mlp)),
    // Heads that share values would need one scale for all that read them.
    ...(heads === kvHeads ? [{ maker: value, readers: names("self_attn", "o") }] : []),
    { maker: up, readers: names("mlp", "down") },
  ];
}
