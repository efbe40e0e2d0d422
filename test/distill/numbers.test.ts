/** Distilling numbers: the formulas of assistive regression in float64, and students and teachers that predict them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assist, mainLoss, method } from "../../src/distill/methods/assistive-regression.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();

describe("assistive regression", () => {
  const [B, K] = [7, 3];
  const rows = (seed: number, size = 1) => ({ shape: [B, K], data: normals(seed, B * K, size) });
  const values = bindDefaults(method).values as never;
  const run = (student: Float32Array, tough: Float32Array, tolerant: Float32Array, wanted: Float32Array) =>
    runOp(gpu, {
      inputs: {
        student: { shape: [B, K], data: student, grad: true },
        tough: { shape: [B, K], data: tough },
        tolerant: { shape: [B, K], data: tolerant },
        wanted: { shape: [B, K], data: wanted },
      },
      build(rec, x) {
        const given = { student: x.student!, teachers: [x.tough!, x.tolerant!], wanted: x.wanted!, values };
        return method.numbers!(rec, { ...given, extra: () => x.student!, note: () => {} });
      },
      seeds: { y: new Float32Array(B).fill(1) },
    });

  test("is the card's formula, with reflected points and a map of weights, and its slope", async () => {
    const [student, wanted] = [rows(1, 2).data, rows(2).data];
    const tough = wanted.map((y, i) => y + 0.3 * rows(3).data[i]!);
    const tolerant = wanted.map((y, i) => y + 1.2 * rows(4).data[i]!);
    const formula = (found: number, i: number): number => {
      const [y, side] = [wanted[i]!, Math.sign(found - wanted[i]!)];
      const assisted = (t: number, pull: number, push: number) => {
        const [reflected, bound] = [y + side * Math.abs(t - y), y + side * 0.15 * Math.abs(t - y)];
        const beyond = side > 0 ? found > reflected : found < reflected;
        const between = side > 0 ? found > bound && !beyond : found < bound && !beyond;
        return (beyond ? pull : between ? -push : 0) * Math.abs(reflected - found);
      };
      const [a, d] = [Math.abs(found - y), Math.abs(tolerant[i]! - y)];
      const main = a <= d ? 3 * a : a * a + 3 * d - d * d;
      return 2 * main + assisted(tough[i]!, 1.9, 0.45) + assisted(tolerant[i]!, 1.8, 0.4);
    };
    const { outputs, gradients } = await run(student, tough, tolerant, wanted);
    for (let row = 0; row < B; row++) {
      const own = Array.from({ length: K }, (_, k) => formula(student[row * K + k]!, row * K + k));
      expect(outputs.y![row]).toBeCloseTo(own.reduce((sum, x) => sum + x, 0) / K, 4);
    }
    for (const [i, x] of student.entries()) {
      const slope = (formula(x + 1e-5, i) - formula(x - 1e-5, i)) / 2e-5 / K;
      expect(Math.abs(gradients.student![i]! - slope)).toBeLessThan(2e-3);
    }
  });

  test("the main loss does not jump where it turns, and is the squared error where teachers are right", async () => {
    const d = Float32Array.from({ length: 50 }, (_, i) => i / 10);
    const near = d.map((x) => x * (1 + 1e-6) + 1e-6);
    const at = async (a: Float32Array, far: Float32Array) =>
      (
        await runOp(gpu, {
          inputs: { a: { shape: [50], data: a }, d: { shape: [50], data: far } },
          build: (rec, x) => mainLoss(rec, x.a!, x.d!),
        })
      ).outputs.y!;
    const [before, after] = [await at(d, d), await at(near, d)];
    for (const [i, x] of before.entries()) expect(Math.abs(after[i]! - x)).toBeLessThan(2e-4);
    const squares = await at(d, new Float32Array(50));
    for (const [i, x] of squares.entries()) expect(x).toBeCloseTo(d[i]! ** 2, 4);
  });

  test("a student that is much nearer than a teacher is left alone", async () => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        a: { shape: [3], data: Float32Array.of(0, 0.1, 0.16) },
        d: { shape: [3], data: Float32Array.of(1, 1, 1) },
      },
      build: (rec, x) => assist(rec, x.a!, x.d!, { pull: 2, push: 0.5 }),
    });
    expect([...outputs.y!].map((x) => Math.round(1e3 * x) + 0)).toEqual([0, 0, -420]);
  });
});

describe("the script", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-distill-numbers-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
  const distill = (line: string) =>
    run("distill", `${line} --data rows.jsonl --steps 12 --save-every 0 --overwrite -o out`);

  beforeAll(async () => {
    const net = { model_type: "mlp", input_size: 4, hidden_sizes: [12], num_labels: 2 };
    writeFileSync(join(folder, "numbers.json"), JSON.stringify({ ...net, problem_type: "regression" }));
    writeFileSync(join(folder, "classes.json"), JSON.stringify(net));
    await run("data", "numbers --dims 4 --outputs 2 --waves 0.5 --size 60 -o rows.jsonl");
    for (const [name, seed] of [
      ["tough", 1],
      ["tolerant", 2],
    ] as const)
      await run("train", `--init numbers.json --data rows.jsonl --loss mse --steps 3 --seed ${seed} -o ${name}`);
    await run("data", "blobs --dims 4 --classes 2 --size 60 -o blobs.jsonl");
    await run("train", "--init classes.json --data blobs.jsonl --steps 1 -o unsure");
  });

  test("takes regressors as teachers and students", async () => {
    const { code, err } = await distill(
      "--teacher tough --teacher tolerant --init numbers.json --method assistive-regression --log a.jsonl",
    );
    expect([code, err]).toEqual([0, err]);
    const steps = readFileSync(join(folder, "a.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const [first] = steps.filter(({ main }) => main !== undefined);
    expect(first.distill).toBeCloseTo(2 * first.main + first.tough + first.tolerant, 4);
    for (const line of [
      "--method output-mse",
      "--method hidden --loss mse",
      "--method output-mse --label-weight 1 --loss mae",
    ])
      expect([line, (await distill(`--teacher tough --init numbers.json ${line}`)).code]).toEqual([line, 0]);
  });

  test.each([
    ["--teacher tough --init numbers.json --method kd", "kd compares distributions, and the student predicts numbers"],
    ["--teacher tough --init numbers.json --method hidden", "--loss ce is a loss of labels"],
    ["--teacher tough --init numbers.json --method output-mse --mixup 1", "--mixup is for labels"],
    [
      "--teacher tough --init numbers.json --method assistive-regression",
      "assistive-regression takes 2 teachers, got 1",
    ],
    ["--teacher unsure --init numbers.json --method output-mse", "the teacher unsure is a classifier"],
  ])("refuses %s", async (line, said) => {
    const { code, err } = await distill(line);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
  });

  test("mixkd says where a teacher is unsure, and not where it is sure enough", async () => {
    const line =
      "--teacher unsure --init classes.json --method mixkd --data blobs.jsonl --steps 11 --save-every 0 --overwrite -o out";
    expect((await run("distill", `${line} --least-confidence 0.99`)).err).toContain(
      "the teacher's largest probability is 0.",
    );
    expect((await run("distill", `${line} --least-confidence 0.4`)).err).not.toContain("largest probability");
  });
});
