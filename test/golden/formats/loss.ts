/**
 * The format of test/golden/loss: losses with their gradients to given logits. Runs the methods of `distill` and
 * `unlearn` under the names that the format uses, and the cross-entropy that `train` uses.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { has } from "../../../src/method/capability.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { divergence } from "../../../src/tensor/ops/divergence.ts";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { rowSum } from "../../../src/tensor/ops/reduce.ts";
import type { AdapterProfile, Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { rowAnswers } from "../../../src/unlearn/row-answers.ts";
import { runOp } from "../../support/program.ts";
import { readValues, relativeError } from "./tensors.ts";

export interface LossCase {
  readonly name: string;
  readonly value: number;
  /** Inputs that `expected.safetensors` holds gradients for. */
  readonly gradient_of: readonly string[];
  readonly parameters?: Readonly<Record<string, number>>;
}

/** Per token (N) or per sequence (B); `dynamics` are values of the run. */
interface Loss {
  readonly per: "token" | "sequence";
  readonly dynamics?: Readonly<Record<string, number>>;
  build(rec: Recorder, x: Inputs): Tensor;
  /** What the format's value is a mean of, where the method's loss differs from it by a constant. */
  value?(rec: Recorder, x: Inputs): Tensor;
}

/** Logits as rows (N, V) and losses per token (B, T), by the name of the input. */
interface Inputs {
  readonly labels: Tensor;
  /** (B): tokens of each sequence that count. */
  readonly lengths: Tensor;
  rows(name: string): Tensor;
  nll(logits: string, labels?: string): Tensor;
}

type Parameters = Readonly<Record<string, number>>;

/** A method of `distill` that is a loss per row. */
async function distillation(name: string, given: Parameters, dynamics: Parameters = {}): Promise<Loss> {
  const { method, values } = bindDefaults(await loadMethod("distill", name), given);
  return {
    per: "token",
    dynamics,
    build: (rec, { labels, rows }) =>
      method.rows!(rec, {
        student: rows("student_logits"),
        teachers: [rows("teacher_logits")],
        targets: labels,
        hidden: rows("student_logits"),
        values,
        extra: (extra) => {
          throw new Error(`${name} asks for ${extra}`);
        },
        note: () => {},
      }),
  };
}

/** The forget term of a method of `unlearn`; `factor` is what the format's definition leaves out. */
async function unlearning(name: string, given: Parameters, factor = 1): Promise<Loss> {
  const { method, values } = bindDefaults(await loadMethod("unlearn", name), given);
  if (method.kind !== "objective") throw new Error(`${name} is no objective`);
  return {
    per: method.per === "sequence" ? "sequence" : "token",
    build(rec, { labels, lengths, rows, nll }) {
      const pair = (which: string) => ({
        nll: nll(`policy_${which}_logits`, `labels_${which}`),
        reference: rowSum(rec, nll(`reference_${which}_logits`, `labels_${which}`)),
      });
      const sequences = () =>
        has(method, rowAnswers)
          ? { lengths, values, ...pair("rejected"), wanted: pair("chosen") }
          : { lengths, values, nll: nll("student_logits"), reference: rowSum(rec, nll("reference_logits")) };
      const logits = rows("student_logits");
      const original = () => rows("reference_logits");
      const loss = method.rows
        ? method.rows(rec, { logits, original, targets: labels, values })
        : method.sequences!(rec, sequences());
      return factor === 1 ? loss : scale(rec, loss, factor);
    },
  };
}

const plain = (smoothing: number): Loss => ({
  per: "token",
  build: (rec, { labels, rows }) =>
    crossEntropy(rec, rows("student_logits"), labels, smoothing > 0 ? { smoothing } : {}),
});

/** The loss that a case's name and parameters mean. Throws for a name that no loss has. */
export async function lossOf({ name, parameters: p = {} }: LossCase): Promise<Loss> {
  const temperature = p.temperature ?? 1;
  switch (name.replace(/(_[\d.]+|_T\d+)+$/, "")) {
    case "forward_kl":
      return distillation("kd", { temperature });
    case "reverse_kl":
      return distillation("reverse-kl", { temperature });
    case "jsd":
      return distillation("jsd", { beta: p.beta!, temperature });
    case "tvd":
      return distillation("tvd", { temperature });
    case "skew_kl":
      return distillation("skew-kl", { alpha: p.alpha!, temperature });
    case "skew_rkl":
      return distillation("skew-rkl", { alpha: p.alpha!, temperature });
    case "taid":
      // The method leaves out the target's entropy, which has no gradient.
      return {
        ...(await distillation("taid", {}, { t: p.t! })),
        value: (rec, { labels, rows }) =>
          divergence(rec, rows("student_logits"), rows("teacher_logits"), labels, {
            kind: "interpolated-target",
            a: p.t!,
          }),
      };
    case "undial":
      return unlearning("undial", { strength: p.strength! });
    case "cross_entropy":
      return plain(0);
    case "cross_entropy_smooth":
      return plain(p.label_smoothing!);
    case "gradient_ascent":
      return unlearning("grad-ascent", {});
    case "wga":
      return unlearning("wga", { beta: p.beta! });
    case "satimp":
      return unlearning("satimp", { b1: p.beta1!, b2: p.beta2! });
    case "npo":
      return unlearning("npo", { beta: p.beta! });
    case "simnpo":
      return unlearning("simnpo", { beta: p.beta!, delta: p.gamma! });
    case "dpo":
      return unlearning("dpo", { beta: p.beta! }, p.beta! / 2);
    default:
      throw new Error(`no method is known for the loss ${name}`);
  }
}

/** A folder in this format. */
export class LossGoldens {
  readonly cases: readonly LossCase[];
  readonly #inputs: ReadonlyMap<string, Float32Array | Int32Array>;
  readonly #expected: ReadonlyMap<string, Float32Array | Int32Array>;
  readonly #shape: readonly [number, number, number];

  private constructor(
    index: { readonly cases: readonly LossCase[]; readonly logits_shape: readonly [number, number, number] },
    inputs: ReadonlyMap<string, Float32Array | Int32Array>,
    expected: ReadonlyMap<string, Float32Array | Int32Array>,
  ) {
    this.cases = index.cases;
    this.#shape = index.logits_shape;
    this.#inputs = inputs;
    this.#expected = expected;
  }

  static async open(folder: string): Promise<LossGoldens> {
    const [inputs, expected] = await Promise.all(
      ["inputs", "expected"].map((name) => readValues(path.join(folder, `${name}.safetensors`))),
    );
    return new LossGoldens(JSON.parse(readFileSync(path.join(folder, "cases.json"), "utf8")), inputs!, expected!);
  }

  /** Gives what is wrong with a case, nothing when it is accepted. */
  async check(golden: LossCase, gpu: Gpu, profile?: AdapterProfile): Promise<string[]> {
    const [B, T, V] = this.#shape;
    const N = B * T;
    const loss = await lossOf(golden);
    const labels = this.#inputs.get("labels")!;
    const counted = (from: number, to: number) => labels.subarray(from, to).filter((label) => label >= 0).length;
    const lengths = Float32Array.from({ length: B }, (_, b) => counted(b * T, (b + 1) * T));
    const mean =
      loss.per === "sequence"
        ? new Float32Array(B).fill(1 / B)
        : Float32Array.from(labels, (label) => (label < 0 ? 0 : 1 / counted(0, N)));
    const inputs = Object.fromEntries(
      [...this.#inputs].map(([name, data]) => {
        const isLabels = data instanceof Int32Array;
        const grad = golden.gradient_of.includes(name);
        return [name, { shape: isLabels ? [N] : [N, V], data, dtype: isLabels ? "i32" : "f32", grad } as const];
      }),
    );
    const { outputs, gradients } = await runOp(gpu, {
      inputs,
      build(rec, x) {
        const inputs: Inputs = {
          labels: x.labels!,
          lengths: rec.constant(lengths, [B], "lengths"),
          rows: (name) => x[name]!,
          nll: (logits, targets = "labels") => rec.reshape(crossEntropy(rec, x[logits]!, x[targets]!), [B, T]),
        };
        const y = rec.reshape(loss.build(rec, inputs), [mean.length]);
        return { y, ...(loss.value ? { value: loss.value(rec, inputs) } : {}) };
      },
      seeds: { y: mean },
      ...(loss.dynamics ? { values: loss.dynamics } : {}),
      ...(profile ? { profile } : {}),
    });
    const problems: string[] = [];
    const value = (outputs.value ?? outputs.y!).reduce((sum, y, i) => sum + y * mean[i]!, 0);
    if (!(Math.abs(value - golden.value) <= Math.max(1e-6, 1e-5 * Math.abs(golden.value))))
      problems.push(`the loss is ${value}, expected ${golden.value}`);
    for (const name of golden.gradient_of) {
      const error = relativeError(gradients[name]!, this.#expected.get(`${golden.name}.grad.${name}`)!);
      if (!(error <= 2e-5)) problems.push(`the gradient to ${name} is off by ${error} of its largest value`);
    }
    return problems;
  }
}
