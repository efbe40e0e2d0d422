/** Encoders with a classification head in float64, each text alone and without padding. */
import type { Json } from "../../src/model/architecture.ts";
import { attend, gelu, layer, matvec, num, plus, type Row } from "./reference-parts.ts";

export interface Text {
  readonly ids: readonly number[];
  readonly types: readonly number[];
}

const FAMILIES: Readonly<Record<string, readonly string[]>> = {
  bert: [
    ...["bert", "encoder.layer", "attention.self.query", "attention.self.key", "attention.self.value"],
    ...[
      "attention.output.dense",
      "attention.output.LayerNorm",
      "intermediate.dense",
      "output.dense",
      "output.LayerNorm",
    ],
  ],
  distilbert: [
    ...["distilbert", "transformer.layer", "attention.q_lin", "attention.k_lin", "attention.v_lin"],
    ...["attention.out_lin", "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"],
  ],
};

const relu = (v: number): number => Math.max(v, 0);

/** The last states of every text's tokens, and its logits. */
export function encoded(
  c: Json,
  w: (name: string) => Float64Array,
  texts: readonly Text[],
): { readonly states: Row[]; readonly logits: () => Row }[] {
  const small = c.model_type === "distilbert";
  const rooted = c.model_type === "roberta" || c.model_type === "xlm-roberta";
  const [model, layers, query, key, value, mixed, mixedNorm, up, down, downNorm] =
    FAMILIES[small ? "distilbert" : "bert"]!;
  const root = rooted ? "roberta" : model!;
  const heads = num(c, small ? "n_heads" : "num_attention_heads");
  const eps = small ? 1e-12 : num(c, "layer_norm_eps", 1e-12);
  const act = (c.hidden_act ?? c.activation) === "relu" ? relu : gelu;
  const norm = (name: string, x: Row) => layer(x, w(`${name}.weight`), w(`${name}.bias`), eps);
  const dense = (name: string, x: Row) => {
    const bias = w(`${name}.bias`);
    return matvec(w(`${name}.weight`), x, bias.length, bias);
  };
  const rowOf = (table: string, i: number) => {
    const values = w(`${root}.embeddings.${table}.weight`);
    const width = num(c, small ? "dim" : "hidden_size");
    return values.slice(i * width, (i + 1) * width);
  };
  const offset = rooted ? num(c, "pad_token_id", 1) + 1 : 0;
  return texts.map(({ ids, types }) => {
    let x = ids.map((id, i) => {
      const words = plus(rowOf("word_embeddings", id), rowOf("position_embeddings", i + offset));
      return norm(
        `${root}.embeddings.LayerNorm`,
        small ? words : plus(words, rowOf("token_type_embeddings", types[i]!)),
      );
    });
    for (let l = 0; l < num(c, small ? "n_layers" : "num_hidden_layers"); l++) {
      const at = `${root}.${layers}.${l}`;
      const [q, k, v] = [query, key, value].map((name) => x.map((r) => dense(`${at}.${name}`, r)));
      const seen = attend(q!, k!, v!, heads, heads, false);
      const h = x.map((r, i) => norm(`${at}.${mixedNorm}`, plus(r, dense(`${at}.${mixed}`, seen[i]!))));
      x = h.map((r) => norm(`${at}.${downNorm}`, plus(r, dense(`${at}.${down}`, dense(`${at}.${up}`, r).map(act)))));
    }
    return { states: x, logits: () => logitsOf(x[0]!) };
  });

  function logitsOf(first: Row): Row {
    if (small) return dense("classifier", dense("pre_classifier", first).map(relu));
    if (rooted) return dense("classifier.out_proj", dense("classifier.dense", first).map(Math.tanh));
    return dense("classifier", dense("bert.pooler.dense", first).map(Math.tanh));
  }
}

/** Logits of every text. */
export const encoder = (c: Json, w: (name: string) => Float64Array, texts: readonly Text[]): Row[] =>
  encoded(c, w, texts).map(({ logits }) => logits());
