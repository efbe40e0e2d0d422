/**
 * How the weights of a dense decoder fit together: blocks of attention and a gated feed-forward network on a residual
 * stream. It is what methods need that change one weight against another, such that the model computes the same.
 */

/** Norms around a half of a block, by their names in the layer. */
interface Around {
  readonly before?: string;
  readonly after?: string;
  readonly sum?: string;
}

export interface DenseLayout {
  readonly layers: number;
  /** Of the residual stream. */
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Of the feed-forward network. */
  readonly inner: number;
  readonly norm: "rms" | "rms-plus-one" | "layer";
  readonly norms: { readonly attention: Around; readonly feedForward: Around };
  /** Both halves read what the norm before the first gives. */
  readonly parallel: boolean;
  /** Rows of q, k, v, and of gate and up, in one matrix. */
  readonly fused: { readonly qkv: boolean; readonly gateUp: boolean };
  readonly bias: { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean };
  /** What the embedding, and what each half of a block gives, is multiplied by. */
  readonly multipliers: { readonly embedding: number; readonly residual: number };
  /** Whether the head is the embedding's table. */
  readonly tied: boolean;
}
