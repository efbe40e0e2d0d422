/**
 * The losses of test/golden/loss that are ops, value and gradient. A loss that belongs to one method is tested through its file, in
 * test/unlearn and test/distill.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { type DivergenceKind, divergence } from "../../../src/tensor/ops/divergence.ts";
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

const labels = inputs.get("labels") as Int32Array;
const counted = labels.filter((label) => label >= 0).length;
const mean = Float32Array.from(labels, (label) => (label < 0 ? 0 : 1 / counted));

/** The divergence of a family of cases, and its parameter. */
const DIVERGENCES: Record<string, readonly [DivergenceKind, string?]> = {
  forward_kl: ["forward-kl"],
  reverse_kl: ["reverse-kl"],
  jsd: ["jsd", "beta"],
  tvd: ["tvd"],
  skew_kl: ["skew-kl", "alpha"],
  skew_rkl: ["skew-rkl", "alpha"],
  taid: ["taid", "t"],
};
const familyOf = (name: string) => name.replace(/(_[\d.]+|_T2)+$/, "");
const isCrossEntropy = (name: string) => familyOf(name).startsWith("cross_entropy");
const ours = cases.filter(({ name }) => familyOf(name) in DIVERGENCES || isCrossEntropy(name));

/** The loss of every token (N). */
function build(rec: Recorder, x: Record<string, Tensor>, { name, parameters: p = {} }: Case): Tensor {
  const rows = (tensor: Tensor) => rec.reshape(tensor, [N, V]);
  const student = rows(x.student_logits!);
  if (isCrossEntropy(name))
    return crossEntropy(rec, student, x.labels!, p.label_smoothing ? { smoothing: p.label_smoothing } : {});
  const [kind, parameter] = DIVERGENCES[familyOf(name)]!;
  const options = { kind, a: parameter ? p[parameter]! : 0, temperature: p.temperature ?? 1 };
  return divergence(rec, student, rows(x.teacher_logits!), x.labels!, options);
}

test("there are 11 divergences and two cross-entropies", () => expect(ours).toHaveLength(13));

test.each(
  ours.flatMap(
    (golden) =>
      [
        [golden.name, golden, undefined],
        [`${golden.name}, as on a real GPU`, golden, hardware],
      ] as const,
  ),
)("%s", async (_, golden, profile) => {
  const data = Object.fromEntries(
    [...inputs].map(([name, values]) => {
      const isLabels = values instanceof Int32Array;
      const grad = golden.gradient_of.includes(name);
      return [name, { shape: isLabels ? [N] : [N, V], data: values, dtype: isLabels ? "i32" : "f32", grad } as const];
    }),
  );
  const { outputs, gradients } = await runOp(gpu, {
    inputs: data,
    build: (rec, x) => build(rec, x, golden),
    seeds: { y: mean },
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
