/** Regularisers of task saliency against float64, with their gradients by differences, and as a loss of the script. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saliencyAlignment, saliencyEntropy } from "../../src/train/losses/saliency.ts";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { finiteDifference, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-saliency-"));
afterAll(() => rmSync(folder, { recursive: true }));

const [ROWS, TASKS, WIDTH] = [5, 3, 7];
const ERRORS = normals(1, ROWS * TASKS);
const WEIGHT = normals(2, TASKS * WIDTH);

/** S_t / 2 of a row. */
const saliency = (e: ArrayLike<number>, w: ArrayLike<number>, b: number, t: number) =>
  Array.from({ length: WIDTH }, (_, c) => e[b * TASKS + t]! * w[t * WIDTH + c]!);

function entropy(e: ArrayLike<number>, w: ArrayLike<number>): number {
  let sum = 0;
  for (let b = 0; b < ROWS; b++) {
    const own = Array.from({ length: TASKS }, (_, t) => saliency(e, w, b, t).map(Math.abs));
    for (let c = 0; c < WIDTH; c++) {
      const whole = own.reduce((all, s) => all + s[c]!, 1e-6);
      for (const s of own) sum -= (s[c]! / whole) * Math.log(s[c]! / whole + 1e-12);
    }
  }
  return sum / (ROWS * WIDTH);
}

function alignment(e: ArrayLike<number>, w: ArrayLike<number>, tau: number): number {
  const views = Array.from({ length: TASKS }, (_, t) =>
    Array.from({ length: ROWS }, (_, b) => {
      const s = saliency(e, w, b, t);
      const length = Math.hypot(...s);
      return s.map((value) => value / length);
    }),
  );
  const centre = Array.from({ length: ROWS }, (_, b) =>
    Array.from({ length: WIDTH }, (_, c) => views.reduce((sum, view) => sum + view[b]![c]! / TASKS, 0)),
  );
  let sum = 0;
  for (const view of views)
    for (const [b, own] of view.entries()) {
      const likeness = centre.map((other) => other.reduce((dot, value, c) => dot + value * own[c]!, 0) / tau);
      sum += Math.log(likeness.reduce((all, value) => all + Math.exp(value), 0)) - likeness[b]!;
    }
  return sum / (ROWS * TASKS);
}

test.each([
  ["entropy", saliencyEntropy, entropy],
  [
    "alignment",
    (...given: Parameters<typeof saliencyEntropy>) => saliencyAlignment(...given, 0.5),
    (e: ArrayLike<number>, w: ArrayLike<number>) => alignment(e, w, 0.5),
  ],
] as const)("%s of saliencies, and its gradients to errors and head", async (_, record, reference) => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      errors: { shape: [ROWS, TASKS], data: ERRORS, grad: true },
      weight: { shape: [TASKS, WIDTH], data: WEIGHT, grad: true },
    },
    build: (rec, { errors, weight }) => record(rec, errors!, weight!),
    seeds: { y: Float32Array.of(1) },
  });
  expect(outputs.y![0]!).toBeCloseTo(reference(ERRORS, WEIGHT), 5);
  const wanted = {
    errors: finiteDifference((e) => Float64Array.of(reference(e, WEIGHT)), ERRORS, [1]),
    weight: finiteDifference((w) => Float64Array.of(reference(ERRORS, w)), WEIGHT, [1]),
  };
  for (const name of ["errors", "weight"] as const)
    for (const [i, value] of wanted[name].entries()) expect(Math.abs(gradients[name]![i]! - value)).toBeLessThan(2e-4);
});

test("a feature that one task alone reads has no entropy, and tasks that pull alike are aligned", async () => {
  const apart = Float32Array.of(1, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 4, 1, 0, 1, 1, 1);
  expect(entropy(ERRORS, apart)).toBeLessThan(entropy(ERRORS, new Float32Array(TASKS * WIDTH).fill(1)) / 2);
  const { outputs } = await runOp(gpu, {
    inputs: {
      errors: { shape: [ROWS, TASKS], data: ERRORS },
      weight: { shape: [TASKS, WIDTH], data: apart },
    },
    build: (rec, { errors, weight }) => saliencyEntropy(rec, errors!, weight!),
  });
  expect(outputs.y![0]!).toBeCloseTo(entropy(ERRORS, apart), 5);
});

const run = (line: string) => runScript("train", line.split(" "), folder);
const weights = (name: string) => [
  ...new Float32Array(new Uint8Array(dataOf(readFileSync(join(folder, `${name}/model.safetensors`)))).buffer),
];

test("without weights it is mse, bit for bit; with them both terms are told and change the model", async () => {
  const json = { model_type: "mlp", input_size: 3, hidden_sizes: [6], num_labels: 2, problem_type: "regression" };
  writeFileSync(join(folder, "two.json"), JSON.stringify(json));
  const rows = Array.from({ length: 12 }, (_, i) => ({ x: [...normals(i, 3)], y: [...normals(90 + i, 2)] }));
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const fit = "--init two.json --data rows.jsonl --batch-size 6 --steps 4 --save-every 0";
  for (const [name, loss] of [
    ["mse", "mse"],
    ["none", "rep-mtl --rep-tsr 0 --rep-csa 0"],
    ["both", "rep-mtl --log both.log"],
  ] as const) {
    const { code, err } = await run(`${fit} --loss ${loss} -o ${name}/`);
    expect([code, err]).toEqual([0, expect.anything()]);
  }
  expect(weights("none")).toEqual(weights("mse"));
  expect(weights("both")).not.toEqual(weights("mse"));
  const [step] = readFileSync(join(folder, "both.log"), "utf8")
    .split("\n")
    .filter((line) => line.includes('"event":"step"'));
  const { loss, mse, tsr_loss: tsr, csa_loss: csa } = JSON.parse(step!);
  expect(loss).toBeCloseTo(mse + tsr + csa, 5);
  expect(Math.min(tsr, csa)).toBeGreaterThan(0);
});

test("classifiers, and micro-batches, are refused", async () => {
  const json = { model_type: "mlp", input_size: 1, hidden_sizes: [2], num_labels: 2 };
  writeFileSync(join(folder, "classes.json"), JSON.stringify(json));
  writeFileSync(join(folder, "classes.jsonl"), '{"x": [1], "label": 0}\n');
  const { err } = await run("--init classes.json --data classes.jsonl --loss rep-mtl --steps 1 -o out/");
  expect(err).toContain("--loss rep-mtl is for models that predict numbers");
  const { err: parted } = await run(
    "--init two.json --data rows.jsonl --loss rep-mtl --accumulate 2 --steps 1 -o out/",
  );
  expect(parted).toContain("--accumulate");
});
