/** What the float64 reference is made of: rows of numbers, and plain loops over them. */
import type { Json } from "../../src/model/architecture.ts";

export type Row = Float64Array;

export const num = (c: Json, key: string, fallback?: number): number => (c[key] ?? fallback) as number;

export function matvec(w: Float64Array, x: Row, out: number, bias?: Float64Array): Row {
  const n = x.length;
  const y = new Float64Array(out);
  for (let o = 0; o < out; o++) {
    let sum = bias?.[o] ?? 0;
    for (let i = 0; i < n; i++) sum += w[o * n + i]! * x[i]!;
    y[o] = sum;
  }
  return y;
}

export const plus = (a: Row, b: Row): Row => a.map((v, i) => v + b[i]!);
export const silu = (v: number): number => v / (1 + Math.exp(-v));

export function rms(x: Row, w: Float64Array, eps: number): Row {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += w.length) {
    let square = 0;
    for (let i = 0; i < w.length; i++) square += x[start + i]! ** 2;
    const r = 1 / Math.sqrt(square / w.length + eps);
    for (let i = 0; i < w.length; i++) y[start + i] = x[start + i]! * r * w[i]!;
  }
  return y;
}

export function layer(x: Row, w: Float64Array, b: Float64Array, eps: number): Row {
  const mean = x.reduce((a, v) => a + v, 0) / x.length;
  const variance = x.reduce((a, v) => a + (v - mean) ** 2, 0) / x.length;
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * w[i]! + b[i]!);
}

/** Attention of rows of queries over rows of keys, all heads. */
export function attend(
  q: Row[],
  k: Row[],
  v: Row[],
  heads: number,
  kvHeads: number,
  causal: boolean,
  window = 0,
): Row[] {
  const d = q[0]!.length / heads;
  return q.map((query, i) => {
    const y = new Float64Array(heads * d);
    for (let h = 0; h < heads; h++) {
      const kv = Math.floor((h * kvHeads) / heads) * d;
      const first = window === 0 ? 0 : Math.max(0, i - window + 1);
      const weights = new Float64Array((causal ? i + 1 : k.length) - first);
      for (let n = 0; n < weights.length; n++) {
        const key = k[first + n]!;
        for (let c = 0; c < d; c++) weights[n]! += query[h * d + c]! * key[kv + c]!;
        weights[n]! /= Math.sqrt(d);
      }
      const most = weights.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      let total = 0;
      for (let n = 0; n < weights.length; n++) total += weights[n] = Math.exp(weights[n]! - most);
      for (let n = 0; n < weights.length; n++)
        for (let c = 0; c < d; c++) y[h * d + c]! += (weights[n]! / total) * v[first + n]![kv + c]!;
    }
    return y;
  });
}

/** Frequencies of rotary positions; default and llama3 scaling. */
export function frequencies(c: Json, d: number): number[] {
  const theta = num(c, "rope_theta", 10_000);
  const plain = Array.from({ length: d / 2 }, (_, i) => theta ** ((-2 * i) / d));
  const s = c.rope_scaling as Record<string, number> | undefined;
  if (!s) return plain;
  const original = s.original_max_position_embeddings!;
  return plain.map((f) => {
    const turns = (original * f) / (2 * Math.PI);
    if (turns > s.high_freq_factor!) return f;
    if (turns < s.low_freq_factor!) return f / s.factor!;
    const blend = (turns - s.low_freq_factor!) / (s.high_freq_factor! - s.low_freq_factor!);
    return (1 - blend) * (f / s.factor!) + blend * f;
  });
}

export function rotate(x: Row, position: number, heads: number, f: number[]): Row {
  const d = x.length / heads;
  const y = Float64Array.from(x);
  for (let i = 0; i < d / 2; i++) {
    const [cos, sin] = [Math.cos(position * f[i]!), Math.sin(position * f[i]!)];
    for (let h = 0; h < heads; h++) {
      const [a, b] = [x[h * d + i]!, x[h * d + i + d / 2]!];
      y[h * d + i] = a * cos - b * sin;
      y[h * d + i + d / 2] = b * cos + a * sin;
    }
  }
  return y;
}

const erf = (x: number): number => {
  let sum = 0;
  let term = Math.abs(x);
  for (let n = 0; n < 80; n++) {
    const before = sum;
    sum += term / (2 * n + 1);
    if (sum === before && n > x * x) break; // and all further terms are smaller
    term *= -(x * x) / (n + 1);
  }
  return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
};
export const gelu = (v: number): number => 0.5 * v * (1 + (Math.abs(v) > 5 ? Math.sign(v) : erf(v / Math.SQRT2)));
