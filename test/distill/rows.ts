/** Runs a distillation method's own loss on rows of logits. */

import type { DistillMethod } from "../../src/distill/contract.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Options } from "../../src/method/options.ts";
import type { AdapterProfile } from "../../src/tensor/adapter-profile.ts";
import { stopGradient } from "../../src/tensor/ops/elementwise.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { runOp } from "../support/program.ts";

/** Settings as a user who gives only `given` has them. */
export const settingsOf = (
  options: Options,
  given: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(options).flatMap(([name, option]) => ("default" in option ? [[name, option.default]] : [])),
  ),
  ...given,
});

export interface RowsRun {
  /** (N, V) */
  readonly student: ArrayLike<number>;
  readonly teachers: readonly ArrayLike<number>[];
  readonly outputs: number;
  /** (N); all 0 when left out. */
  readonly targets?: ArrayLike<number>;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Numbers that change from step to step. */
  readonly values?: Readonly<Record<string, number>>;
  /** (N) each, by name. */
  readonly given?: Readonly<Record<string, Float32Array>>;
  /** Gradient of every row's loss; all 1 when left out. */
  readonly seed?: Float32Array;
  readonly hidden?: { readonly data: Float32Array; readonly width: number };
  readonly extra?: Readonly<Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>>;
  readonly profile?: AdapterProfile;
}

export interface RowsResult {
  readonly losses: Float32Array;
  readonly gradient: Float32Array;
  /** What the method reports, per row. */
  readonly notes: Readonly<Record<string, Float32Array>>;
  readonly extra: Readonly<Record<string, Float32Array>>;
}

export async function runRows<O extends Options>(
  gpu: Gpu,
  method: DistillMethod<O>,
  run: RowsRun,
): Promise<RowsResult> {
  const { student, teachers, outputs: v, settings, values, hidden, given, extra = {}, profile } = run;
  const n = student.length / v;
  const rows = (data: ArrayLike<number>, grad = false) => ({ shape: [n, v], data: Float32Array.from(data), grad });
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      student: rows(student, true),
      ...Object.fromEntries(teachers.map((teacher, k) => [`teacher${k}`, rows(teacher)])),
      targets: { shape: [n], data: Int32Array.from(run.targets ?? new Int32Array(n)), dtype: "i32" },
      hidden: { shape: [n, hidden?.width ?? 1], data: hidden?.data ?? new Float32Array(n) },
      ...Object.fromEntries(Object.entries(given ?? {}).map(([name, data]) => [`given ${name}`, { shape: [n], data }])),
      ...Object.fromEntries(
        Object.entries(extra).map(([name, { data, shape }]) => [name, { shape, data, grad: true }]),
      ),
    },
    build(rec, x) {
      const notes: Record<string, Tensor> = {};
      const y = method.rows!(rec, {
        student: x.student!,
        teachers: teachers.map((_, k) => x[`teacher${k}`]!),
        targets: x.targets!,
        hidden: x.hidden!,
        ...(given ? { given: (name: string) => x[`given ${name}`]! } : {}),
        values: settingsOf(method.options, settings) as never,
        extra: (name) => x[name]!,
        note: (name, tensor) => {
          notes[`note ${name}`] = stopGradient(rec, tensor);
        },
      });
      return { y, ...notes };
    },
    seeds: { y: run.seed ?? new Float32Array(n).fill(1) },
    ...(values ? { values } : {}),
    ...(profile ? { profile } : {}),
  });
  const { y, ...notes } = outputs;
  const { student: gradient = new Float32Array(n * v), ...others } = gradients;
  return {
    losses: y!,
    gradient,
    notes: Object.fromEntries(Object.entries(notes).map(([name, values]) => [name.slice("note ".length), values])),
    extra: others,
  };
}
