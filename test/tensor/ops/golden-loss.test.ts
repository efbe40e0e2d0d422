/** Every loss of test/golden/loss, value and gradient, through the ops that training uses. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { type DivergenceKind, divergence } from "../../../src/tensor/ops/divergence.ts";
import { rowSum } from "../../../src/tensor/ops/reduce.ts";
import { dpo, gradientAscent, npo, satimp, simnpo, wga } from "../../../src/tensor/ops/sequence-loss.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { hardware, runOp } from "../../support/program.ts";

const gpu = await sharedGpu();
const FOLDER = fileURLToPath(new URL("../../golden/loss/", import.meta.url));

interface Case {
  name: string;
  value: number;
  gradient_of: string[];
  parameters?: Record<string, number>;
}
const { cases, logits_shape } = JSON.parse(readFileSync(`${FOLDER}cases.json`, "utf8")) as {
  cases: Case[];
  logits_shape: [number, number, number];
};
const [B, T, V] = logits_shape;
const N = B * T;

async function tensors(file: string): Promise<Map<string, Float32Array | Int32Array>> {
  const opened = await openPlain(FOLDER + file);
  const found = new Map<string, Float32Array | Int32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, entry.dtype === "I32" ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer));
  }
  opened.close();
  return found;
}
const inputs = await tensors("inputs.safetensors");
const expected = await tensors("expected.safetensors");

const counted = (labels: Int32Array) => labels.filter((label) => label >= 0).length;
const labels = inputs.get("labels") as Int32Array;
const perToken = Float32Array.from(labels, (label) => (label < 0 ? 0 : 1 / counted(labels)));
const perSequence = new Float32Array(B).fill(1 / B);

type Tensors = Record<string, Tensor>;

/** The loss of a case and how its values are averaged. */
function build(rec: Recorder, x: Tensors, { name, parameters: p = {} }: Case): { loss: Tensor; mean: Float32Array } {
  const rows = (tensor: Tensor) => rec.reshape(tensor, [N, V]);
  const student = () => rows(x.student_logits!);
  const nllOf = (logits: string, targets = "labels") => {
    const nll = crossEntropy(
      rec,
      rows(x[logits]!),
      x[targets]!,
      p.label_smoothing ? { smoothing: p.label_smoothing } : {},
    );
    return rec.reshape(nll, [B, T]);
  };
  const reference = (logits: string, targets = "labels") => rowSum(rec, nllOf(logits, targets)); // takes no gradient: its input has none
  const flat = (loss: Tensor) => ({ loss: rec.reshape(loss, [N]), mean: perToken });
  const sequence = (loss: Tensor) => ({ loss, mean: perSequence });
  const apart = (kind: DivergenceKind, a = 0) =>
    flat(divergence(rec, student(), rows(x.teacher_logits!), x.labels!, { kind, a, temperature: p.temperature ?? 1 }));
  const family = name.replace(/(_[\d.]+|_T2)+$/, "");
  switch (family) {
    case "forward_kl":
      return apart("forward-kl");
    case "reverse_kl":
      return apart("reverse-kl");
    case "jsd":
      return apart("jsd", p.beta!);
    case "tvd":
      return apart("tvd");
    case "skew_kl":
      return apart("skew-kl", p.alpha!);
    case "skew_rkl":
      return apart("skew-rkl", p.alpha!);
    case "taid":
      return apart("taid", p.t!);
    case "undial": {
      const options = { kind: "undial", a: Object.values(p)[0]! } as const;
      return flat(divergence(rec, student(), rows(x.reference_logits!), x.labels!, options));
    }
    case "cross_entropy":
    case "cross_entropy_smooth":
      return flat(nllOf("student_logits"));
    case "gradient_ascent":
      return flat(gradientAscent(rec, nllOf("student_logits")));
    case "wga":
      return flat(wga(rec, nllOf("student_logits"), Object.values(p)[0]!));
    case "satimp":
      return flat(satimp(rec, nllOf("student_logits"), p.beta1!, p.beta2!));
    case "npo":
      return sequence(npo(rec, nllOf("student_logits"), reference("reference_logits"), p.beta!));
    case "simnpo": {
      const lengths = Float32Array.from({ length: B }, (_, b) => counted(labels.subarray(b * T, (b + 1) * T)));
      return sequence(simnpo(rec, nllOf("student_logits"), rec.constant(lengths, [B], "lengths"), p.beta!, p.gamma!));
    }
    case "dpo": {
      const pair = (which: string) => ({
        nll: nllOf(`policy_${which}_logits`, `labels_${which}`),
        reference: reference(`reference_${which}_logits`, `labels_${which}`),
      });
      return sequence(dpo(rec, pair("chosen"), pair("rejected"), p.beta!));
    }
    default:
      throw new Error(`no op for ${name}`);
  }
}

test("there is a case for every loss", () => {
  expect(cases.length).toBeGreaterThanOrEqual(20);
});

test.each(
  cases.flatMap(
    (golden) =>
      [
        [golden.name, golden, undefined],
        [`${golden.name}, as on a real GPU`, golden, hardware],
      ] as const,
  ),
)("%s", async (_, golden, profile) => {
  let mean: Float32Array = perToken;
  const data = Object.fromEntries(
    [...inputs].map(([name, values]) => {
      const isLabels = values instanceof Int32Array;
      const grad = golden.gradient_of.includes(name);
      return [name, { shape: isLabels ? [N] : [N, V], data: values, dtype: isLabels ? "i32" : "f32", grad } as const];
    }),
  );
  const seeds: Record<string, Float32Array> = {};
  const sequences = /^(npo|simnpo|dpo)_/.test(golden.name);
  seeds.y = sequences ? perSequence : perToken;
  const { outputs, gradients } = await runOp(gpu, {
    inputs: data,
    build: (rec, x) => {
      const built = build(rec, x, golden);
      mean = built.mean;
      return built.loss;
    },
    seeds,
    ...(profile ? { profile } : {}),
  });
  const value = outputs.y!.reduce((sum, loss, i) => sum + loss * mean[i]!, 0);
  expect(Math.abs(value - golden.value)).toBeLessThan(Math.max(1e-6, 1e-5 * Math.abs(golden.value)));
  for (const name of golden.gradient_of) {
    const wanted = expected.get(`${golden.name}.grad.${name}`) as Float32Array;
    const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const worst = gradients[name]!.reduce((a, b, i) => Math.max(a, Math.abs(b - wanted[i]!)), 0);
    expect(worst / most).toBeLessThan(2e-5);
  }
});
