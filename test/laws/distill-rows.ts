/**
 * Any distillation loss on rows of made-up outputs: what student and teachers say, and the loss of every row with its
 * gradient.
 */
import type { DistillMethod } from "../../src/distill/contract.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { bind } from "../../src/method/bind.ts";
import type { Recorded } from "../../src/model/model.ts";
import { stopGradient } from "../../src/tensor/ops/elementwise.ts";
import { sizeOf, type Tensor } from "../../src/tensor/tensor.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

/** One text of N tokens, over V outputs, by models of L layers with two heads. */
export const [N, V, WIDTH, LAYERS, HEADS] = [6, 23, 8, 2, 2];
const SIZES = { layers: LAYERS, width: WIDTH, outputs: V, maxPositions: N };

/**
 * What a model says, by name: `logits` (N, V), `hidden` (N, C), and of every layer its states, queries, keys and
 * values (N, C).
 */
export type Outputs = Readonly<Record<string, Float32Array>>;

const shapeOf = (name: string): number[] => [N, name === "logits" ? V : WIDTH];

/** What a method reads of a model: logits and what its head reads, or hidden states and attention. */
export function outputsOf(method: DistillMethod, seed: number): Outputs {
  const names = method.states
    ? [
        "hidden",
        ...Array.from({ length: LAYERS }, (_, i) => [`hidden.${i + 1}`, `q.${i}`, `k.${i}`]).flat(),
        ...Array.from({ length: LAYERS }, (_, i) => `v.${i}`),
      ]
    : ["logits", "hidden"];
  return Object.fromEntries(names.map((name, i) => [name, normals(100 * seed + i, sizeOf(shapeOf(name)), 2)]));
}

export const mapOutputs = (outputs: Outputs, change: (values: Float32Array, name: string) => Float32Array): Outputs =>
  Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, change(values, name)]));

export interface RowsCase {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly student: Outputs;
  readonly teachers: readonly Outputs[];
  readonly targets: Int32Array;
  /** Weights beside the student's. */
  readonly extra: Outputs;
}

/** Weights of a method's own, at random. */
export function extraOf(method: DistillMethod, settings: RowsCase["settings"]): Outputs {
  const { values } = bind(method, settings);
  const specs = method.extra?.({ student: SIZES, teacher: SIZES, teachers: 1, values }) ?? [];
  return Object.fromEntries(specs.map(({ name, shape }, i) => [name, normals(900 + i, sizeOf(shape), 0.5)]));
}

export interface RowsLoss {
  /** (N) */
  readonly losses: Float32Array;
  /** Of what the student says and of extra weights, by name; zeros where no gradient goes. */
  readonly gradients: Outputs;
}

/** The loss of every row, and the gradient of their sum. */
export async function rowsLoss(gpu: Gpu, method: DistillMethod, given: RowsCase): Promise<RowsLoss> {
  const { values } = bind(method, given.settings);
  const specs = method.extra?.({ student: SIZES, teacher: SIZES, teachers: 1, values }) ?? [];
  const prefixed = (prefix: string, outputs: Outputs, grad: boolean) =>
    Object.entries(outputs).map(([name, data]) => [`${prefix}${name}`, { shape: shapeOf(name), data, grad }]);
  const teachers = given.teachers.map((_, k) => `teacher ${k} `);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: Object.fromEntries([
      ...prefixed("student ", given.student, true),
      ...given.teachers.flatMap((teacher, k) => prefixed(teachers[k]!, teacher, false)),
      ...specs.map(({ name, shape }) => [`extra ${name}`, { shape, data: given.extra[name]!, grad: true }]),
      ["targets", { shape: [N], data: given.targets, dtype: "i32" }],
    ]),
    build(rec, x) {
      const recorded = (prefix: string): Recorded => ({
        hidden: x[`${prefix}hidden`]!,
        head: (hidden) => hidden,
        notes: new Map(Object.entries(x).map(([name, tensor]) => [name.replace(prefix, ""), tensor])),
        routed: new Map(),
        increments: new Map(),
        bounded: (box) => box,
        attended: new Map(
          Array.from({ length: LAYERS }, (_, i) => {
            const options = { batch: 1, heads: HEADS, kvHeads: HEADS, headDim: WIDTH / HEADS, causal: true };
            const [q, k, v] = ["q", "k", "v"].map((name) => x[`${prefix}${name}.${i}`]!);
            return [i, { q: q!, k: k!, v: v!, options }];
          }),
        ),
      });
      const extra = (name: string) => x[`extra ${name}`]!;
      const note = (_: string, tensor: Tensor) => void stopGradient(rec, tensor);
      if (method.states) {
        const [student, teacher] = [recorded("student "), recorded("teacher 0 ")];
        const sizes = { student: SIZES, teacher: SIZES };
        return method.states(rec, { student, teacher, again: () => teacher, sizes, values, extra, note });
      }
      return method.rows!(rec, {
        student: x["student logits"]!,
        teachers: teachers.map((prefix) => x[`${prefix}logits`]!),
        targets: x.targets!,
        hidden: x["student hidden"]!,
        values,
        extra,
        note,
      });
    },
    seeds: { y: new Float32Array(N).fill(1) },
    values: { seed: 1, ...method.adaptive?.({ values, steps: 10, teachers: given.teachers.length }).values(1) },
  });
  const learns = { ...given.student, ...given.extra };
  return {
    losses: outputs.y!,
    gradients: Object.fromEntries(
      Object.entries(learns).map(([name, data]) => [
        name,
        gradients[`student ${name}`] ?? gradients[`extra ${name}`] ?? new Float32Array(data.length),
      ]),
    ),
  };
}
