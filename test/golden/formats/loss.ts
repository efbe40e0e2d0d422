/**
 * The format of test/golden/loss: losses with their gradients to given logits. Runs the methods of `distill` and
 * `unlearn` under the names that the format uses, and the cross-entropy that `train` uses.
 */
import path from "node:path";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { has } from "../../../src/method/capability.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import type { AdapterProfile } from "../../../src/tensor/adapter-profile.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { divergence } from "../../../src/tensor/ops/divergence.ts";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { rowSum } from "../../../src/tensor/ops/reduce.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { rowAnswers } from "../../../src/unlearn/row-answers.ts";
import { runOp } from "../../support/program.ts";
import { readIndex, required } from "./index-file.ts";
import { readTensors, relativeError, type StoredValues } from "./tensors.ts";

export interface LossCase {
  readonly name: string;
  readonly value: number;
  /** Inputs that `expected.safetensors` holds gradients for. */
  readonly gradient_of?: readonly string[];
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
        ? method.rows(rec, { logits, original, untrained: original, targets: labels, values })
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
export async function lossOf({ name, parameters = {} }: LossCase): Promise<Loss> {
  const { temperature = 1 } = parameters;
  const given = (parameter: string): number =>
    required(parameters[parameter], `cases.json: the parameter ${parameter} of ${name}`);
  switch (name.replace(/(_T?[\d.]+)+$/, "")) {
    case "forward_kl":
      return distillation("kd", { temperature });
    case "reverse_kl":
      return distillation("reverse-kl", { temperature });
    case "jsd":
      return distillation("jsd", { beta: given("beta"), temperature });
    case "tvd":
      return distillation("tvd", { temperature });
    case "skew_kl":
      return distillation("skew-kl", { alpha: given("alpha"), temperature });
    case "skew_rkl":
      return distillation("skew-rkl", { alpha: given("alpha"), temperature });
    case "taid":
      // The method leaves out the target's entropy, which has no gradient.
      return {
        ...(await distillation("taid", {}, { t: given("t") })),
        value: (rec, { labels, rows }) =>
          divergence(rec, rows("student_logits"), rows("teacher_logits"), labels, {
            kind: "interpolated-target",
            a: given("t"),
          }),
      };
    case "undial":
      return unlearning("undial", { strength: given("strength") });
    case "cross_entropy":
      return plain(0);
    case "cross_entropy_smooth":
      return plain(given("label_smoothing"));
    case "gradient_ascent":
      return unlearning("grad-ascent", {});
    case "wga":
      return unlearning("wga", { beta: given("beta") });
    case "satimp":
      return unlearning("satimp", { b1: given("beta1"), b2: given("beta2") });
    case "npo":
      return unlearning("npo", { beta: given("beta") });
    case "simnpo":
      return unlearning("simnpo", { beta: given("beta"), delta: given("gamma") });
    case "dpo":
      return unlearning("dpo", { beta: given("beta") }, given("beta") / 2);
    default:
      throw new Error(`no method is known for the loss ${name}`);
  }
}

/** A folder in this format. */
export class LossGoldens {
  readonly cases: readonly LossCase[];
  readonly #inputs: ReadonlyMap<string, StoredValues>;
  readonly #expected: ReadonlyMap<string, StoredValues>;

  private constructor(
    cases: readonly LossCase[],
    inputs: ReadonlyMap<string, StoredValues>,
    expected: ReadonlyMap<string, StoredValues>,
  ) {
    this.cases = cases;
    this.#inputs = inputs;
    this.#expected = expected;
  }

  /** Throws an Error or UserError for a file that is missing or damaged. */
  static async open(folder: string): Promise<LossGoldens> {
    const { cases } = readIndex<{ readonly cases?: readonly LossCase[] }>(path.join(folder, "cases.json"));
    const [inputs, expected] = await Promise.all(
      ["inputs", "expected"].map((name) => readTensors(path.join(folder, `${name}.safetensors`))),
    );
    return new LossGoldens(required(cases, "cases.json: cases"), inputs!, expected!);
  }

  /** Gives what is wrong with a case, nothing when it is accepted. */
  async check(golden: LossCase, gpu: Gpu, profile?: AdapterProfile): Promise<string[]> {
    const { name, value: expected, gradient_of: gradientOf = [] } = golden;
    required(name, "cases.json: the name of a case");
    required(expected, `cases.json: the value of ${name}`);
    const { data: labels, shape } = required(this.#inputs.get("labels"), "inputs.safetensors: labels");
    const [B = 1, T = 1] = shape;
    const N = B * T;
    const loss = await lossOf(golden);
    const counted = (from: number, to: number) => labels.subarray(from, to).filter((label) => label >= 0).length;
    const lengths = Float32Array.from({ length: B }, (_, b) => counted(b * T, (b + 1) * T));
    const mean =
      loss.per === "sequence"
        ? new Float32Array(B).fill(1 / B)
        : Float32Array.from(labels, (label) => (label < 0 ? 0 : 1 / counted(0, N)));
    const inputs = Object.fromEntries(
      [...this.#inputs].map(([input, { data, shape }]) => {
        const dtype = data instanceof Int32Array ? "i32" : "f32";
        const rows = dtype === "i32" ? [N] : [N, shape.at(-1)!];
        return [input, { shape: rows, data, dtype, grad: gradientOf.includes(input) } as const];
      }),
    );
    const { outputs, gradients } = await runOp(gpu, {
      inputs,
      build(rec, x) {
        const input = (name: string) => required(x[name], `inputs.safetensors: ${name}`);
        const inputs: Inputs = {
          labels: input("labels"),
          lengths: rec.constant(lengths, [B], "lengths"),
          rows: input,
          nll: (logits, targets = "labels") => rec.reshape(crossEntropy(rec, input(logits), input(targets)), [B, T]),
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
    if (!(Math.abs(value - expected) <= Math.max(1e-6, 1e-5 * Math.abs(expected))))
      problems.push(`the loss is ${value}, expected ${expected}`);
    for (const input of gradientOf) {
      const found = required(gradients[input], `inputs.safetensors: ${input}`);
      const key = `${name}.grad.${input}`;
      const error = relativeError(found, required(this.#expected.get(key), `expected.safetensors: ${key}`).data);
      if (!(error <= 2e-5)) problems.push(`the gradient to ${input} is off by ${error} of its largest value`);
    }
    return problems;
  }
}
