/**
 * The architectures once more, in float64 on the CPU: loops that follow the equations and share nothing with the
 * engine. For checking what no golden covers.
 */
import type { Json } from "../../src/model/architecture.ts";
import { encoder, type Text } from "./reference-encoder.ts";
import { neox } from "./reference-neox.ts";
import { attend, frequencies, gelu, layer, matvec, num, plus, type Row, rms, rotate, silu } from "./reference-parts.ts";

export type Weights = ReadonlyMap<string, Float64Array>;

export interface TextBatch {
  readonly ids: readonly (readonly number[])[];
}
export interface ExampleBatch {
  readonly x: readonly (readonly number[])[];
}
export interface LabelledTexts {
  readonly texts: readonly Text[];
}

/** The feed-forward network of a layer, given its normalised input. */
export type FeedForward = (w: Weight, prefix: string, h: Row, layer: number) => Row;

/** A tensor by name. Throws Error where there is none. */
export interface Weight {
  (name: string): Float64Array;
  /** The same for tensors that only some models have. */
  readonly optional: (name: string) => Float64Array | undefined;
}

export const denseMlp: FeedForward = (w, prefix, h) => {
  const gate = w(`${prefix}.mlp.gate_proj.weight`);
  const inner = gate.length / h.length;
  const bias = (name: string) => w.optional(`${prefix}.mlp.${name}.bias`);
  const g = matvec(gate, h, inner, bias("gate_proj"));
  const u = matvec(w(`${prefix}.mlp.up_proj.weight`), h, inner, bias("up_proj"));
  return matvec(
    w(`${prefix}.mlp.down_proj.weight`),
    g.map((v, i) => silu(v) * u[i]!),
    h.length,
    bias("down_proj"),
  );
};

/** What takes the place of inner states of a row, a state for each token: named as the engine names them. */
export type Replace = (name: string, x: Row[]) => Row[];

/** Logits of every token of every row of a decoder of the Llama family. */
function decoder(
  c: Json,
  w: Weight,
  { ids }: TextBatch,
  feedForward: FeedForward,
  replace: Replace = (_, x) => x,
): Row[][] {
  const width = num(c, "hidden_size");
  const heads = num(c, "num_attention_heads");
  const kvHeads = num(c, "num_key_value_heads", heads);
  const d = num(c, "head_dim", width / heads);
  const eps = num(c, "rms_norm_eps");
  const firstWindow = c.model_type === "mistral" ? 0 : num(c, "max_window_layers", 28);
  const windowed = c.model_type === "mistral" || c.use_sliding_window === true;
  const windowOf = (layer: number) => (windowed && layer >= firstWindow ? num(c, "sliding_window", 0) : 0);
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
          let y = matvec(w(`${at}.${name}.weight`), v, n * d, w.optional(`${at}.${name}.bias`));
          const gain = norm ? w.optional(`${at}.${norm}.weight`) : undefined;
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
        windowOf(l),
      );
      x = replace(
        `middle.${l}`,
        x.map((v, i) => plus(v, matvec(w(`${at}.o_proj.weight`), mixed[i]!, width, w.optional(`${at}.o_proj.bias`)))),
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

/** Names of a vision transformer's tensors; the last norms are those before the blocks, if any, and after them. */
interface VisionNames {
  readonly token: string;
  readonly patch: string;
  readonly places: string;
  readonly layer: string;
  /** q, k, v, out, up and down. */
  readonly modules: readonly string[];
  readonly norms: readonly [attention: string, feedForward: string];
  readonly first?: string;
  readonly last: string;
}

const VIT: VisionNames = {
  token: "vit.embeddings.cls_token",
  patch: "vit.embeddings.patch_embeddings.projection",
  places: "vit.embeddings.position_embeddings",
  layer: "vit.encoder.layer",
  modules: [
    ...["attention.attention.query", "attention.attention.key", "attention.attention.value"],
    ...["attention.output.dense", "intermediate.dense", "output.dense"],
  ],
  norms: ["layernorm_before", "layernorm_after"],
  last: "vit.layernorm",
};

const CLIP: VisionNames = {
  token: "vision_model.embeddings.class_embedding",
  patch: "vision_model.embeddings.patch_embedding",
  places: "vision_model.embeddings.position_embedding.weight",
  layer: "vision_model.encoder.layers",
  modules: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"],
  norms: ["layer_norm1", "layer_norm2"],
  first: "vision_model.pre_layrnorm",
  last: "vision_model.post_layernorm",
};

/** The normalised class tokens of images. */
function vision(
  c: Json,
  weight: { w: Weight; bias: (module: string) => Float64Array | undefined },
  { x }: ExampleBatch,
  names: VisionNames,
  given: { readonly eps: number; readonly act: (x: number) => number },
): Row[] {
  const { w, bias } = weight;
  const { eps, act } = given;
  const [width, heads, side, size] = [
    num(c, "hidden_size"),
    num(c, "num_attention_heads"),
    num(c, "image_size"),
    num(c, "patch_size"),
  ];
  const [channels, across] = [num(c, "num_channels"), side / size];
  const dense = (module: string, v: Row, out: number) => matvec(w(`${module}.weight`), v, out, bias(module));
  const norm = (name: string, v: Row) => layer(v, w(`${name}.weight`), w(`${name}.bias`), eps);
  const [q, k, v, out, up, down] = names.modules as [string, string, string, string, string, string];
  return x.map((image) => {
    const rows: Row[] = [w(names.token)];
    for (let p = 0; p < across * across; p++) {
      const values: number[] = [];
      for (let ch = 0; ch < channels; ch++)
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++)
            values.push(image[(ch * side + Math.floor(p / across) * size + i) * side + (p % across) * size + j]!);
      rows.push(dense(names.patch, Float64Array.from(values), width));
    }
    const places = w(names.places);
    let h: Row[] = rows.map((row, i) => plus(row, places.slice(i * width, (i + 1) * width)));
    if (names.first) h = h.map((row) => norm(names.first!, row));
    for (let l = 0; l < num(c, "num_hidden_layers"); l++) {
      const at = (name: string) => `${names.layer}.${l}.${name}`;
      const n = h.map((row) => norm(at(names.norms[0]), row));
      const [queries, keys, values] = [q, k, v].map((name) => n.map((r) => dense(at(name), r, width)));
      const mixed = attend(queries!, keys!, values!, heads, heads, false);
      h = h.map((r, i) => plus(r, dense(at(out), mixed[i]!, width)));
      h = h.map((r) => {
        const inner = dense(at(up), norm(at(names.norms[1]), r), num(c, "intermediate_size")).map(act);
        return plus(r, dense(at(down), inner, width));
      });
    }
    return norm(names.last, h[0]!);
  });
}

function vit(c: Json, weights: Weights, batch: ExampleBatch): Row[] {
  const w = reader(weights);
  const given = { eps: num(c, "layer_norm_eps", 1e-12), act: gelu };
  const hidden = vision(c, { w, bias: (module) => w(`${module}.bias`) }, batch, VIT, given);
  return hidden.map((h) => matvec(w("classifier.weight"), h, num(c, "num_labels"), w("classifier.bias")));
}

/** Cosines of features and the rows of the head, times the length of these rows. */
function clip(c: Json, weights: Weights, batch: ExampleBatch): Row[] {
  const w = reader(weights);
  const part = (c.vision_config ?? c) as Json;
  const quick = (x: number) => x / (1 + Math.exp(-1.702 * x));
  const given = { eps: num(part, "layer_norm_eps", 1e-5), act: part.hidden_act === "gelu" ? gelu : quick };
  const hidden = vision(part, { w, bias: (module) => weights.get(`${module}.bias`) }, batch, CLIP, given);
  const [shared, classes] = [num(c, "projection_dim"), num(c, "num_labels")];
  return hidden.map((h) => {
    const features = matvec(w("visual_projection.weight"), h, shared);
    const length = Math.sqrt(features.reduce((sum, x) => sum + x * x, 0));
    return matvec(w("zeroshot_head.weight"), features, classes).map((x) => x / length);
  });
}

/** Logits of a classifier. */
function exampleLogits(c: Json, weights: Weights, batch: ExampleBatch): Row[] {
  if (c.model_type === "vit") return vit(c, weights, batch);
  if (c.model_type === "equilibrium") return equilibrium(c, reader(weights), batch);
  return c.model_type === "mlp" ? mlp(c, reader(weights), batch) : clip(c, weights, batch);
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

/** Layers hear what is below and above them, one after the other, and so on. */
function equilibrium(c: Json, w: Weight, { x }: ExampleBatch): Row[] {
  const sizes = c.hidden_sizes as number[];
  const back = (i: number, above: Row): Row => {
    const own = w.optional(`feedback.${i}.weight`);
    if (own) return matvec(own, above, sizes[i]!);
    const up = w(`layers.${i + 1}.weight`);
    return Float64Array.from({ length: sizes[i]! }, (_, k) =>
      above.reduce((sum, value, j) => sum + value * up[j * sizes[i]! + k]!, 0),
    );
  };
  return x.map((values) => {
    const states: Row[] = [];
    for (let step = 0; step < num(c, "relaxation_steps"); step++)
      for (const [i, n] of sizes.entries()) {
        const below = i === 0 ? Float64Array.from(values) : states[i - 1]!;
        const heard = matvec(w(`layers.${i}.weight`), below, n, w(`layers.${i}.bias`));
        const above = states[i + 1];
        states[i] = (above ? plus(heard, back(i, above)) : heard).map((z) => 1 / (1 + Math.exp(-z)));
      }
    return matvec(w("classifier.weight"), states.at(-1)!, num(c, "num_labels"), w("classifier.bias"));
  });
}

const nllOf = (logits: Row, target: number): number => {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return most + Math.log(logits.reduce((a, b) => a + Math.exp(b - most), 0)) - logits[target]!;
};

const textLogits: typeof decoder = (c, w, batch, feedForward, replace) =>
  c.model_type === "gpt_neox" ? neox(c, w, batch.ids, replace) : decoder(c, w, batch, feedForward, replace);

const classLogits = (c: Json, weights: Weights, batch: ExampleBatch | LabelledTexts): Row[] =>
  "texts" in batch ? encoder(c, reader(weights), batch.texts) : exampleLogits(c, weights, batch);

/** The tensors of a model. */
export function reader(weights: Weights): Weight {
  const optional = (name: string) => weights.get(name);
  const read = (name: string) => {
    const found = weights.get(name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  return Object.assign(read, { optional });
}

/** Logits, (rows * tokens, V) or (rows, classes), flat. */
export function referenceLogits(
  c: Json,
  weights: Weights,
  batch: TextBatch | ExampleBatch | LabelledTexts,
  feedForward: FeedForward = denseMlp,
  replace?: Replace,
): Float64Array {
  const w = reader(weights);
  const rows = "ids" in batch ? textLogits(c, w, batch, feedForward, replace).flat() : classLogits(c, weights, batch);
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

/** Mean next-token loss of all tokens, or mean loss of the labels. */
export function referenceLoss(
  c: Json,
  weights: Weights,
  batch: (TextBatch | ExampleBatch | LabelledTexts) & { labels?: readonly number[] },
  feedForward: FeedForward = denseMlp,
): number {
  const w = reader(weights);
  if ("ids" in batch) {
    const losses = textLogits(c, w, batch, feedForward).flatMap((row, b) =>
      row.slice(0, -1).map((logits, i) => nllOf(logits, batch.ids[b]![i + 1]!)),
    );
    return losses.reduce((a, b) => a + b, 0) / losses.length;
  }
  const rows = classLogits(c, weights, batch);
  return rows.reduce((sum, logits, i) => sum + nllOf(logits, batch.labels![i]!), 0) / rows.length;
}
