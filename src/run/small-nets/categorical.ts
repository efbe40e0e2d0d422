/** A choice of one of some actions by softmax; the network's outputs are the logits. */
import type { Head } from "./head.ts";

/** Log-probabilities of logits. */
export function logSoftmax(logits: Float64Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const log = most + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return logits.map((x) => x - log);
}

const sumOf = (p: Float64Array, of: (i: number) => number): number => p.reduce((sum, x, i) => sum + x * of(i), 0);

/** A one-hot row of each action, (count, count). */
function allActions(count: number): Float64Array {
  const rows = new Float64Array(count * count);
  for (let i = 0; i < count; i++) rows[i * count + i] = 1;
  return rows;
}

export function categorical(count: number): Head {
  const all = allActions(count);
  const entropy = (out: Float64Array) => {
    const logs = logSoftmax(out);
    return -sumOf(logs.map(Math.exp), (i) => logs[i]!);
  };
  const divergence = (out: Float64Array, other: Float64Array) => {
    const [logs, others] = [logSoftmax(out), logSoftmax(other)];
    return sumOf(logs.map(Math.exp), (i) => logs[i]! - others[i]!);
  };
  return {
    outputs: count,
    width: count,
    encode: (action) => Array.from({ length: count }, (_, i) => (i === action ? 1 : 0)),
    sample: (out, random) => random.weighted([...logSoftmax(out).map(Math.exp)]),
    mode: (out) => out.indexOf(out.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)),
    logProbability: (out, action) => logSoftmax(out)[action as number]!,
    addLogGradient(out, action, factor, into) {
      for (const [i, log] of logSoftmax(out).entries()) into[i]! += factor * ((i === action ? 1 : 0) - Math.exp(log));
    },
    entropy,
    addEntropyGradient(out, factor, into) {
      const mean = entropy(out);
      for (const [i, log] of logSoftmax(out).entries()) into[i]! -= factor * Math.exp(log) * (log + mean);
    },
    divergence,
    addDivergenceGradient(out, other, factor, into) {
      const mean = divergence(out, other);
      const others = logSoftmax(other);
      for (const [i, log] of logSoftmax(out).entries()) into[i]! += factor * Math.exp(log) * (log - others[i]! - mean);
    },
    expected(out, critic) {
      const p = logSoftmax(out).map(Math.exp);
      const { values } = critic(all, count);
      const value = sumOf(p, (i) => values[i]!);
      return { value, gradient: p.map((x, i) => x * (values[i]! - value)) };
    },
  };
}
