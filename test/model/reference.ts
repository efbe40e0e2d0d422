/**
 * The architectures once more, in float64 on the CPU: loops that follow the equations and share nothing with the
 * engine. For checking what no golden covers.
 */
import type { Json } from "../../src/model/architecture.ts";
import { neox } from "./reference-neox.ts";
import { attend, frequencies, gelu, layer, matvec, num, plus, type Row, rms, rotate, silu } from "./reference-parts.ts";

export type Weights = ReadonlyMap<string, Float64Array>;

export interface TextBatch {
  readonly ids: readonly (readonly number[])[];
}
export interface ExampleBatch {
  readonly x: readonly (readonly number[])[];
}

/** The feed-forward network of a layer, given its normalised input. */
export type FeedForward = (w: (name: string) => Float64Array, prefix: string, h: Row, layer: number) => Row;

export const denseMlp: FeedForward = (w, prefix, h) => {
  const gate = w(`${prefix}.mlp.gate_proj.weight`);
  const inner = gate.length / h.length;
  const bias = (name: string) => optional(w, `${prefix}.mlp.${name}.bias`);
  const g = matvec(gate, h, inner, bias("gate_proj"));
  const u = matvec(w(`${prefix}.mlp.up_proj.weight`), h, inner, bias("up_proj"));
  return matvec(
    w(`${prefix}.mlp.down_proj.weight`),
    g.map((v, i) => silu(v) * u[i]!),
    h.length,
    bias("down_proj"),
  );
};

function optional(w: (name: string) => Float64Array, name: string): Float64Array | undefined {
  try {
    return w(name);
  } catch {
    return undefined;
  }
}

/** What takes the place of inner states of a row, a state for each token: named as the engine names them. */
export type Replace = (name: string, x: Row[]) => Row[];

/** Logits of every token of every row of a decoder of the Llama family. */
function decoder(
  c: Json,
  w: (name: string) => Float64Array,
  { ids }: TextBatch,
  feedForward: FeedForward,
  replace: Replace = (_, x) => x,
): Row[][] {
  const width = num(c, "hidden_size");
  const heads = num(c, "num_attention_heads");
  const kvHeads = num(c, "num_key_value_heads", heads);
  const d = num(c, "head_dim", width / heads);
  const eps = num(c, "rms_norm_eps");
  const window = c.model_type === "mistral" ? num(c, "sliding_window", 0) : 0;
  const f = frequencies(c, d);
  const table = w("model.embed_tokens.weight");
  return ids.map((row) => {
    let x: Row[] = replace(
      "hidden.0",
      row.map((id) => table.slice(id * width, (id + 1) * width)),
    );
    for (let l = 0; l < num(c, "num_hidden_layers"); l++) {
      const prefix = `model.layers.${l}`;
      const at = `${prefix}.self_attn`;
      const h = x.map((v) => rms(v, w(`${prefix}.input_layernorm.weight`), eps));
      const project = (name: string, n: number, norm?: string) =>
        h.map((v, position) => {
          let y = matvec(w(`${at}.${name}.weight`), v, n * d, optional(w, `${at}.${name}.bias`));
          const gain = norm ? optional(w, `${at}.${norm}.weight`) : undefined;
          if (gain) y = rms(y, gain, eps);
          return norm ? rotate(y, position, n, f) : y;
        });
      const mixed = attend(
        project("q_proj", heads, "q_norm"),
        project("k_proj", kvHeads, "k_norm"),
        project("v_proj", kvHeads),
        heads,
        kvHeads,
        true,
        window,
      );
      x = replace(
        `middle.${l}`,
        x.map((v, i) => plus(v, matvec(w(`${at}.o_proj.weight`), mixed[i]!, width, optional(w, `${at}.o_proj.bias`)))),
      );
      x = replace(
        `hidden.${l + 1}`,
        x.map((v) => plus(v, feedForward(w, prefix, rms(v, w(`${prefix}.post_attention_layernorm.weight`), eps), l))),
      );
    }
    const head = c.tie_word_embeddings ? table : w("lm_head.weight");
    return x.map((v) => matvec(head, rms(v, w("model.norm.weight"), eps), num(c, "vocab_size")));
  });
}

function vit(c: Json, w: (name: string) => Float64Array, { x }: ExampleBatch): Row[] {
  const [width, heads, side, size] = [
    num(c, "hidden_size"),
    num(c, "num_attention_heads"),
    num(c, "image_size"),
    num(c, "patch_size"),
  ];
  const [channels, eps, across] = [num(c, "num_channels"), num(c, "layer_norm_eps", 1e-12), side / size];
  const dense = (module: string, v: Row, out: number) => matvec(w(`${module}.weight`), v, out, w(`${module}.bias`));
  return x.map((image) => {
    const rows: Row[] = [w("vit.embeddings.cls_token")];
    for (let p = 0; p < across * across; p++) {
      const values: number[] = [];
      for (let ch = 0; ch < channels; ch++)
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++)
            values.push(image[(ch * side + Math.floor(p / across) * size + i) * side + (p % across) * size + j]!);
      rows.push(dense("vit.embeddings.patch_embeddings.projection", Float64Array.from(values), width));
    }
    const places = w("vit.embeddings.position_embeddings");
    let h: Row[] = rows.map((row, i) => plus(row, places.slice(i * width, (i + 1) * width)));
    for (let l = 0; l < num(c, "num_hidden_layers"); l++) {
      const at = `vit.encoder.layer.${l}`;
      const ln = (name: string, v: Row) => layer(v, w(`${at}.${name}.weight`), w(`${at}.${name}.bias`), eps);
      const n = h.map((v) => ln("layernorm_before", v));
      const [q, k, v] = ["query", "key", "value"].map((name) =>
        n.map((r) => dense(`${at}.attention.attention.${name}`, r, width)),
      );
      const mixed = attend(q!, k!, v!, heads, heads, false);
      h = h.map((r, i) => plus(r, dense(`${at}.attention.output.dense`, mixed[i]!, width)));
      h = h.map((r) => {
        const inner = dense(`${at}.intermediate.dense`, ln("layernorm_after", r), num(c, "intermediate_size")).map(
          gelu,
        );
        return plus(r, dense(`${at}.output.dense`, inner, width));
      });
    }
    return dense(
      "classifier",
      layer(h[0]!, w("vit.layernorm.weight"), w("vit.layernorm.bias"), eps),
      num(c, "num_labels"),
    );
  });
}

function mlp(c: Json, w: (name: string) => Float64Array, { x }: ExampleBatch): Row[] {
  const sizes = c.hidden_sizes as number[];
  return x.map((values) => {
    let h: Row = Float64Array.from(values);
    for (const [i, n] of sizes.entries())
      h = matvec(w(`layers.${i}.weight`), h, n, w(`layers.${i}.bias`)).map((v) => Math.max(v, 0));
    return matvec(w("classifier.weight"), h, num(c, "num_labels"), w("classifier.bias"));
  });
}

const nllOf = (logits: Row, target: number): number => {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(logits.reduce((a, b) => a + Math.exp(b - most), 0)) - logits[target]!;
};

const textLogits: typeof decoder = (c, w, batch, feedForward, replace) =>
  c.model_type === "gpt_neox" ? neox(c, w, batch.ids, replace) : decoder(c, w, batch, feedForward, replace);

const reader = (weights: Weights) => (name: string) => {
  const found = weights.get(name);
  if (!found) throw new Error(`no ${name}`);
  return found;
};

/** Logits, (rows * tokens, V) or (rows, classes), flat. */
export function referenceLogits(
  c: Json,
  weights: Weights,
  batch: TextBatch | ExampleBatch,
  feedForward: FeedForward = denseMlp,
  replace?: Replace,
): Float64Array {
  const w = reader(weights);
  const rows =
    "ids" in batch
      ? textLogits(c, w, batch, feedForward, replace).flat()
      : c.model_type === "vit"
        ? vit(c, w, batch)
        : mlp(c, w, batch);
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

/** Mean next-token loss of all tokens, or mean loss of the labels. */
export function referenceLoss(
  c: Json,
  weights: Weights,
  batch: (TextBatch | ExampleBatch) & { labels?: readonly number[] },
  feedForward: FeedForward = denseMlp,
): number {
  const w = reader(weights);
  if ("ids" in batch) {
    const losses = textLogits(c, w, batch, feedForward).flatMap((row, b) =>
      row.slice(0, -1).map((logits, i) => nllOf(logits, batch.ids[b]![i + 1]!)),
    );
    return losses.reduce((a, b) => a + b, 0) / losses.length;
  }
  const rows = c.model_type === "vit" ? vit(c, w, batch) : mlp(c, w, batch);
  return rows.reduce((sum, logits, i) => sum + nllOf(logits, batch.labels![i]!), 0) / rows.length;
}
