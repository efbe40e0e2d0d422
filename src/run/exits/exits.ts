/**
 * Exits of a frozen classifier: a linear head at some of its layers, and a gate that says from the head's answer
 * whether a row leaves there. Regol et al. 2024, https://arxiv.org/abs/2310.09163
 *
 *   gate = sigmoid(w u + b),   u = largest probability, entropy, margin of the two largest, entropy of p^2 / sum p^2
 *
 * A head reads the pooled state of its layer; the last exit is the model's own head.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { joinColumns } from "../../tensor/ops/columns.ts";
import { clamp, isPositive, log, minimum, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";

/** Where the exits of a model are, and what it costs to come to each. */
export interface ExitPlan {
  /** Layers, from 1, after which a row may leave. */
  readonly at: readonly number[];
  /** Widths of their states. */
  readonly widths: readonly number[];
  readonly classes: number;
  /** Share of the model's multiplications until each exit, the last one 1. */
  readonly costs: readonly number[];
}

/** Numbers that a gate reads. */
export const READS = 4;

/** Entropies of p (N), of its logarithms. */
const entropy = (rec: Recorder, p: Tensor, logs: Tensor): Tensor => neg(rec, rowSum(rec, mul(rec, p, logs)));

/**
 * What a gate reads of logits (N, K), which get no gradient from it: (N, 4). Of equal largest ones both count as one.
 */
export function gateInputs(rec: Recorder, logits: Tensor): Tensor {
  const [n = 0] = logits.shape;
  const p = softmax(rec, logits);
  const logs = logSoftmax(rec, logits);
  const most = rowMax(rec, p); // (N)
  const column = (x: Tensor) => rec.reshape(x, [n, 1]);
  const isLess = isPositive(rec, sub(rec, column(most), p)); // (N, K)
  const second = rowMax(rec, mul(rec, p, isLess));
  const squares = mul(rec, p, p);
  const norm = column(rowSum(rec, squares));
  const sharpLogs = sub(rec, scale(rec, logs, 2), log(rec, norm)); // of p^2 / sum p^2
  const sharp = softmax(rec, scale(rec, logs, 2));
  return joinColumns(
    rec,
    [most, entropy(rec, p, logs), sub(rec, most, second), entropy(rec, sharp, sharpLogs)].map(column),
  );
}

/** Heads and gates on the GPU. */
export class Exits {
  readonly plan: ExitPlan;
  readonly heads: readonly { readonly weight: Parameter; readonly bias: Parameter }[];
  readonly gates: readonly { readonly weight: Parameter; readonly bias: Parameter }[];

  private constructor(gpu: Gpu, plan: ExitPlan, values: (name: string, shape: readonly number[]) => Float32Array) {
    this.plan = plan;
    const made = (name: string, shape: readonly number[]): Parameter => {
      const parameter = new Parameter(gpu, name, shape);
      parameter.write(values(name, shape));
      return parameter;
    };
    const linearOf = (name: string, out: number, into: number) => ({
      weight: made(`${name}.weight`, [out, into]),
      bias: made(`${name}.bias`, [out]),
    });
    this.heads = plan.widths.map((width, exit) => linearOf(`heads.${exit}`, plan.classes, width));
    this.gates = plan.widths.map((_, exit) => linearOf(`gates.${exit}`, 1, READS));
  }

  /** New ones: heads are drawn by seed, gates say a half to all. */
  static fresh(gpu: Gpu, plan: ExitPlan, seed: number): Exits {
    return new Exits(gpu, plan, (name, shape) => {
      const isDrawn = name.startsWith("heads.") && shape.length === 2;
      const size = sizeOf(shape);
      return isDrawn ? keyedNormals(size, 1 / Math.sqrt(shape[1]!), seed, name) : new Float32Array(size);
    });
  }

  /** Ones that were trained. */
  static of(gpu: Gpu, plan: ExitPlan, values: ReadonlyMap<string, Float32Array>): Exits {
    return new Exits(gpu, plan, (name) => values.get(name)!);
  }

  parameters(): Parameter[] {
    return [...this.heads, ...this.gates].flatMap(({ weight, bias }) => [weight, bias]);
  }

  /** Logits (N, K) of an exit, of states (N, width). */
  logits(rec: Recorder, exit: number, states: Tensor): Tensor {
    const { weight, bias } = this.heads[exit]!;
    return linear(rec, states, rec.parameter(weight), { bias: rec.parameter(bias) });
  }

  /** What the gate of an exit says before its sigmoid, (N), of what it reads (N, 4). */
  gateLogits(rec: Recorder, exit: number, reads: Tensor): Tensor {
    const { weight, bias } = this.gates[exit]!;
    const [n = 0] = reads.shape;
    return rec.reshape(linear(rec, reads, rec.parameter(weight), { bias: rec.parameter(bias) }), [n]);
  }

  free(): void {
    for (const parameter of this.parameters()) parameter.free();
  }
}

/** Shares (N) of all exits, the last one the rest, of the gates (N) of all but the last; as `exitShares`. */
export function recordShares(rec: Recorder, gates: readonly Tensor[]): Tensor[] {
  const [n = 0] = gates[0]!.shape;
  const shares: Tensor[] = [];
  let rest = rec.constant(new Float32Array(n).fill(1), [n], "ones"); // what the gates before leave
  for (const gate of gates) {
    shares.push(minimum(rec, gate, clamp(rec, rest, 0, 1)));
    rest = sub(rec, rest, gate);
  }
  return [...shares, clamp(rec, rest, 0, 1)];
}
