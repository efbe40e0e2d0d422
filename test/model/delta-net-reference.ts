/**
 * Qwen3-Next and Qwen3.5 once more, in float64 and token by token: loops that follow the equations and share nothing
 * with the engine.
 */
import type { Json } from "../../src/model/architecture.ts";

type Row = Float64Array<ArrayBuffer>;
type Read = (name: string) => Row;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const silu = (x: number): number => x * sigmoid(x);

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
const plus = (a: Row, b: Row): Row => a.map((v, i) => v + b[i]!);

/** (out, in) times a vector. */
function times(w: Float64Array, x: Row): Row {
  const y = new Float64Array(w.length / x.length);
  for (let o = 0, at = 0; o < y.length; o++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++, at++) sum += w[at]! * x[i]!;
    y[o] = sum;
  }
  return y;
}

/** x / rms(x) * gain */
function rms(x: Row, gain: Float64Array, eps: number): Row {
  const r = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((v, i) => v * r * gain[i]!);
}

/** x / rms(x) * (1 + w) */
const norm = (x: Row, w: Float64Array, eps: number): Row =>
  rms(
    x,
    w.map((v) => 1 + v),
    eps,
  );

/** Part `i` of `x` in parts of `d`. */
const part = (x: Row, i: number, d: number): Row => x.slice(i * d, (i + 1) * d);

const sizes = (c: Json) => c as Readonly<Record<string, number>>;

/** q, k, v before the convolution, flat; gates of the outputs, of writing and of the decay, for each head of values. */
function projected(c: Json, w: Read, at: string, h: Row) {
  const [hk, hv] = [c.linear_num_key_heads as number, c.linear_num_value_heads as number];
  const [dk, dv] = [c.linear_key_head_dim as number, c.linear_value_head_dim as number];
  const through = (name: string) => [...times(w(`${at}.in_proj_${name}.weight`), h)];
  if (c.model_type !== "qwen3_next") return { qkv: through("qkv"), z: through("z"), b: through("b"), a: through("a") };
  // Rows of every head of keys follow each other: q, k, the values of its heads, their gates; then betas and decays.
  const r = hv / hk;
  const [all, both] = [through("qkvz"), through("ba")];
  const width = 2 * dk + 2 * r * dv;
  const take = (first: number, count: number) =>
    Array.from({ length: hk }, (_, g) => all.slice(g * width + first, g * width + first + count)).flat();
  const half = (first: number) =>
    Array.from({ length: hk }, (_, g) => both.slice(g * 2 * r + first, g * 2 * r + first + r)).flat();
  return {
    qkv: [...take(0, dk), ...take(dk, dk), ...take(2 * dk, r * dv)],
    z: take(2 * dk + r * dv, r * dv),
    b: half(0),
    a: half(r),
  };
}

function linearLayer(c: Json, w: Read, at: string, rows: readonly Row[]): Row[] {
  const [hk, hv] = [c.linear_num_key_heads as number, c.linear_num_value_heads as number];
  const [dk, dv] = [c.linear_key_head_dim as number, c.linear_value_head_dim as number];
  const taps = c.linear_conv_kernel_dim as number;
  const filter = w(`${at}.conv1d.weight`);
  const all = rows.map((h) => projected(c, w, at, h));
  const states = Array.from({ length: hv }, () => Array.from({ length: dk }, () => new Float64Array(dv)));
  return all.map(({ qkv, z, b, a }, i) => {
    const mixed = Float64Array.from(qkv, (_, channel) => {
      let sum = 0;
      for (let back = 0; back < taps && back <= i; back++)
        sum += filter[channel * taps + taps - 1 - back]! * all[i - back]!.qkv[channel]!;
      return silu(sum);
    });
    const unit = (x: Row) => {
      const length = Math.sqrt(dot(x, x) + 1e-6);
      return x.map((v) => v / length);
    };
    const values = mixed.slice(2 * hk * dk);
    const outputs = states.map((state, h) => {
      const key = Math.floor((h * hk) / hv);
      const q = unit(part(mixed, key, dk)).map((v) => v / Math.sqrt(dk));
      const k = unit(part(mixed.slice(hk * dk), key, dk));
      const u = a[h]! + w(`${at}.dt_bias`)[h]!;
      const decay = Math.exp(-Math.exp(w(`${at}.A_log`)[h]!) * Math.log1p(Math.exp(u)));
      const read = (by: Row) => {
        const found = new Float64Array(dv);
        for (let j = 0; j < dk; j++) for (let n = 0; n < dv; n++) found[n]! += by[j]! * state[j]![n]!;
        return found;
      };
      for (const row of state) for (let n = 0; n < dv; n++) row[n]! *= decay;
      const found = read(k);
      const delta = part(values, h, dv).map((v, n) => sigmoid(b[h]!) * (v - found[n]!));
      for (let j = 0; j < dk; j++) for (let n = 0; n < dv; n++) state[j]![n]! += k[j]! * delta[n]!;
      const gates = z.slice(h * dv, (h + 1) * dv);
      return rms(read(q), w(`${at}.norm.weight`), c.rms_norm_eps as number).map((v, n) => v * silu(gates[n]!));
    });
    return times(w(`${at}.out_proj.weight`), Float64Array.from(outputs.flatMap((o) => [...o])));
  });
}

/** Turns the first `turning` values of a head, value i with value i + turning / 2. */
function turned(x: Row, position: number, turning: number, theta: number): Row {
  const y = x.slice();
  for (let i = 0; i < turning / 2; i++) {
    const angle = position * theta ** ((-2 * i) / turning);
    const [p, q] = [x[i]!, x[i + turning / 2]!];
    y[i] = p * Math.cos(angle) - q * Math.sin(angle);
    y[i + turning / 2] = q * Math.cos(angle) + p * Math.sin(angle);
  }
  return y;
}

function fullLayer(c: Json, w: Read, at: string, rows: readonly Row[]): Row[] {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: d, rms_norm_eps: eps } = sizes(c);
  const turning = Math.floor(d! * (c.partial_rotary_factor as number));
  const head = (x: Row, name: string, position: number) =>
    turned(norm(x, w(`${at}.${name}.weight`), eps!), position, turning, c.rope_theta as number);
  const both = rows.map((h) => times(w(`${at}.q_proj.weight`), h));
  const keys = rows.map((h, j) => {
    const all = times(w(`${at}.k_proj.weight`), h);
    return Array.from({ length: kvHeads! }, (_, kv) => head(part(all, kv, d!), "k_norm", j));
  });
  const values = rows.map((h) => times(w(`${at}.v_proj.weight`), h));
  return rows.map((_, i) => {
    const out: number[] = [];
    for (let h = 0; h < heads!; h++) {
      const kv = Math.floor((h * kvHeads!) / heads!);
      const q = head(part(both[i]!, 2 * h, d!), "q_norm", i);
      const scores = keys.slice(0, i + 1).map((k) => dot(q, k[kv]!) / Math.sqrt(d!));
      const weights = scores.map(Math.exp);
      const total = weights.reduce((a, b) => a + b, 0);
      const gate = part(both[i]!, 2 * h + 1, d!);
      for (let n = 0; n < d!; n++)
        out.push(sigmoid(gate[n]!) * weights.reduce((s, x, j) => s + (x / total) * values[j]![kv * d! + n]!, 0));
    }
    return times(w(`${at}.o_proj.weight`), Float64Array.from(out));
  });
}

/** `choice` hears which experts are chosen. */
function feedForward(c: Json, w: Read, at: string, h: Row, choice: (experts: readonly number[]) => void): Row {
  const gated = (inner: (name: "gate" | "up" | "down") => Float64Array) => {
    const [g, u] = [times(inner("gate"), h), times(inner("up"), h)];
    return times(
      inner("down"),
      g.map((v, i) => silu(v) * u[i]!),
    );
  };
  const module = (prefix: string) => gated((name) => w(`${prefix}.${name}_proj.weight`));
  if (c.num_experts === undefined) return module(at);
  const logits = times(w(`${at}.gate.weight`), h);
  const [k, inner, width] = [c.num_experts_per_tok as number, c.moe_intermediate_size as number, h.length];
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
  choice(order.slice(0, k));
  const shares = order.slice(0, k).map((e) => Math.exp(logits[e]!));
  const total = shares.reduce((a, b) => a + b, 0);
  const expert = (e: number) => {
    if (c.model_type === "qwen3_next") return module(`${at}.experts.${e}`);
    const both = w(`${at}.experts.gate_up_proj`).subarray(2 * e * inner * width, 2 * (e + 1) * inner * width);
    const down = w(`${at}.experts.down_proj`).subarray(e * inner * width, (e + 1) * inner * width);
    return gated((name) =>
      name === "down"
        ? down
        : both.subarray(name === "gate" ? 0 : inner * width, name === "gate" ? inner * width : undefined),
    );
  };
  let y = module(`${at}.shared_expert`).map((v) => v * sigmoid(times(w(`${at}.shared_expert_gate.weight`), h)[0]!));
  for (const [i, e] of order.slice(0, k).entries())
    y = plus(
      y,
      expert(e).map((v) => (v * shares[i]!) / total),
    );
  return y;
}

/** Logits of every token of one document. */
export function deltaNetLogits(
  c: Json,
  weights: ReadonlyMap<string, Row>,
  ids: readonly number[],
  choice: (experts: readonly number[]) => void = () => {},
): Row[] {
  const w: Read = (name) => {
    const found = weights.get(name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const [width, eps] = [c.hidden_size as number, c.rms_norm_eps as number];
  const table = w("model.embed_tokens.weight");
  let x = ids.map((id) => table.slice(id * width, (id + 1) * width));
  for (let l = 0; l < (c.num_hidden_layers as number); l++) {
    const at = `model.layers.${l}`;
    const h = x.map((v) => norm(v, w(`${at}.input_layernorm.weight`), eps));
    const full = (c.layer_types as string[] | undefined)?.[l] === "full_attention";
    const mixed = full ? fullLayer(c, w, `${at}.self_attn`, h) : linearLayer(c, w, `${at}.linear_attn`, h);
    x = x.map((v, i) => plus(v, mixed[i]!));
    x = x.map((v) =>
      plus(v, feedForward(c, w, `${at}.mlp`, norm(v, w(`${at}.post_attention_layernorm.weight`), eps), choice)),
    );
  }
  const head = c.tie_word_embeddings ? table : w("lm_head.weight");
  return x.map((v) => times(head, norm(v, w("model.norm.weight"), eps)));
}
