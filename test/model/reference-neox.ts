/** GPT-NeoX in float64: q, k and v of each head in turn, and attention beside the feed-forward network. */
import type { Json } from "../../src/model/architecture.ts";
import { attend, gelu, layer, matvec, num, plus, type Row } from "./reference-parts.ts";

const tanhGelu = (v: number): number => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));

/** Turns the first `turning` values of every head, in pairs of i and i + turning / 2. */
function turn(x: Row, position: number, heads: number, turning: number, theta: number): Row {
  const d = x.length / heads;
  const y = Float64Array.from(x);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < turning / 2; i++) {
      const angle = position * theta ** ((-2 * i) / turning);
      const [a, b] = [x[h * d + i]!, x[h * d + i + turning / 2]!];
      y[h * d + i] = a * Math.cos(angle) - b * Math.sin(angle);
      y[h * d + i + turning / 2] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  return y;
}

/** Logits of every token of every row. */
export function neox(
  c: Json,
  w: (name: string) => Float64Array,
  ids: readonly (readonly number[])[],
  replace: (name: string, x: Row[]) => Row[] = (_, x) => x,
): Row[][] {
  const [width, heads] = [num(c, "hidden_size"), num(c, "num_attention_heads")];
  const d = width / heads;
  const eps = num(c, "layer_norm_eps", 1e-5);
  const shared = c.rope_parameters as { rope_theta: number; partial_rotary_factor: number } | undefined;
  const turning = Math.floor(d * (shared?.partial_rotary_factor ?? num(c, "rotary_pct", 0.25)));
  const theta = shared?.rope_theta ?? num(c, "rotary_emb_base", 10_000);
  const act = c.hidden_act === "gelu_fast" ? tanhGelu : gelu;
  const norm = (name: string, x: Row) => layer(x, w(`${name}.weight`), w(`${name}.bias`), eps);
  const dense = (name: string, x: Row, bias = true) => {
    const matrix = w(`${name}.weight`);
    return matvec(matrix, x, matrix.length / x.length, bias ? w(`${name}.bias`) : undefined);
  };
  const table = w("gpt_neox.embed_in.weight");
  return ids.map((row) => {
    let x = replace(
      "hidden.0",
      row.map((id) => table.slice(id * width, (id + 1) * width)),
    );
    for (let l = 0; l < num(c, "num_hidden_layers"); l++) {
      const at = `gpt_neox.layers.${l}`;
      const bias = c.attention_bias !== false;
      const fused = x.map((v) => dense(`${at}.attention.query_key_value`, norm(`${at}.input_layernorm`, v), bias));
      // Head h has its queries, then its keys, then its values.
      const [q, k, v] = [0, 1, 2].map((which) =>
        fused.map((f) =>
          Float64Array.from({ length: width }, (_, i) => f[Math.floor(i / d) * 3 * d + which * d + (i % d)]!),
        ),
      );
      const turned = (rows: Row[]) => rows.map((r, position) => turn(r, position, heads, turning, theta));
      const mixed = attend(turned(q!), turned(k!), v!, heads, heads, true);
      const before = x;
      const middle = replace(
        `middle.${l}`,
        x.map((r, i) => plus(r, dense(`${at}.attention.dense`, mixed[i]!, bias))),
      );
      x = replace(
        `hidden.${l + 1}`,
        middle.map((r, i) => {
          const read = norm(`${at}.post_attention_layernorm`, c.use_parallel_residual === false ? r : before[i]!);
          return plus(r, dense(`${at}.mlp.dense_4h_to_h`, dense(`${at}.mlp.dense_h_to_4h`, read).map(act)));
        }),
      );
    }
    const head = c.tie_word_embeddings ? table : w("embed_out.weight");
    return x.map((r) => matvec(head, norm("gpt_neox.final_layer_norm", r), num(c, "vocab_size")));
  });
}
