/** Rows made of a trained model (cda), and rows in closed form both ways (bidirectional). */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { cropMap, drawCrop, type ImageShape } from "../../src/distill/data/crops.ts";
import { judged, statisticsOf } from "../../src/distill/data/layer-statistics.ts";
import { backwardError, ridgeWeights } from "../../src/distill/data/ridge-kernel.ts";
import { leastShare } from "../../src/distill/syntheses/cda.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { momentsOf } from "../../src/run/twice/batch-norm.ts";
import { freshWeights, type Network, networkOf } from "../../src/run/twice/network.ts";
import { linear } from "../../src/run/twice/pass.ts";
import { mapped } from "../../src/tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../src/tensor/twice/value.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";
import { madeBy } from "./made-rows.ts";

setDefaultTimeout(60_000);

const numbers = (seed: number, rows: number, columns: number): Value =>
  constant(normals(seed, rows * columns), [rows, columns]);

describe("views of images", () => {
  const shape: ImageShape = [2, 4, 5];
  const image = Float64Array.from({ length: 40 }, (_, i) => i);
  const seen = (crop: Partial<Parameters<typeof cropMap>[1]>) =>
    mapped(
      constant(image, [1, 40]),
      cropMap(shape, { top: 0, left: 0, height: 4, width: 5, flip: false, roll: [0, 0], ...crop }),
    ).data;
  const at = (data: Float64Array, c: number, row: number, column: number) => data[(c * 4 + row) * 5 + column]!;

  test("are the image itself, mirrored, and rolled around", () => {
    expect(seen({})).toEqual(image);
    expect(at(seen({ flip: true }), 1, 2, 0)).toBe(at(image, 1, 2, 4));
    expect(at(seen({ roll: [1, -2] }), 0, 0, 3)).toBe(at(image, 0, 3, 0));
  });

  test("are parts of it, between whose pixels is interpolated", () => {
    expect(at(seen({ top: 1, left: 2, height: 1, width: 1 }), 1, 3, 4)).toBe(at(image, 1, 1, 2));
    // Two columns over five: the middle lies between them.
    expect(at(seen({ left: 1, width: 2 }), 0, 2, 2)).toBeCloseTo(at(image, 0, 2, 1) + 0.5, 12);
    expect(at(seen({ left: 1, width: 2 }), 0, 2, 0)).toBe(at(image, 0, 2, 1));
  });

  test("have an area of at least a share, and are the whole where that is all", () => {
    for (let i = 0; i < 50; i++) {
      const { top, left, height, width } = drawCrop([1, 20, 20], { least: 0.3, flip: true, jitter: 2 }, new Random(i));
      expect(height * width).toBeGreaterThan(0.25 * 400);
      expect([top + height <= 20, left + width <= 20]).toEqual([true, true]);
    }
    const { height, width } = drawCrop([1, 20, 20], { least: 1, flip: true, jitter: 0 }, new Random(1));
    expect(height * width).toBeGreaterThan(380);
  });

  test("get smaller by a cosine, a line or a step, and are small from the start with kappa 0", () => {
    const shares = (course: "cosine" | "linear" | "step", kappa = 0.5) =>
      [0, 25, 49, 50, 99].map((step) => Number(leastShare(step, 100, { kappa, course }).toFixed(4)));
    expect(shares("linear")).toEqual([1, 0.54, 0.0984, 0.08, 0.08]);
    expect(shares("cosine")).toEqual([1, 0.54, 0.0809, 0.08, 0.08]);
    expect(shares("step")).toEqual([1, 1, 1, 0.08, 0.08]);
    for (const course of ["linear", "cosine", "step"] as const)
      expect(new Set(shares(course, 0))).toEqual(new Set([0.08]));
  });
});

const netOf = async (json: Json): Promise<Network> => networkOf(await describeConfig(json, "net"), "net", "this test");
const SIDES = { model_type: "mlp", input_size: 4, hidden_sizes: [6, 5], num_labels: 3 };

describe("statistics of layers", () => {
  test("have no gap from those of the same rows, by batch norms and by layers", async () => {
    const x = numbers(3, 12, 4);
    const normed = await netOf({ ...SIDES, hidden_norm: "batch" });
    const weights = freshWeights(normed, 1);
    // The first layer's running statistics are made those of the rows; the second's stay what they were.
    const own = momentsOf(linear(weights, "layers.0", x));
    weights.set("norms.0.running_mean", own.mean);
    weights.set("norms.0.running_var", own.variance);
    const known = statisticsOf(normed, weights, undefined);
    expect([...known.keys()]).toEqual(["norms.0", "norms.1"]);
    expect(judged(normed, weights, x, new Map([...known].slice(0, 1))).gap.data[0]!).toBeCloseTo(0, 10);
    expect(judged(normed, weights, x, known).gap.data[0]!).toBeGreaterThan(0.1);
    const plain = await netOf(SIDES);
    const rows = { x: x.data, labels: Array<number>(12).fill(0) };
    const measured = statisticsOf(plain, freshWeights(plain, 1), rows);
    expect(measured.size).toBe(2);
    expect(judged(plain, freshWeights(plain, 1), x, measured).gap.data[0]!).toBeCloseTo(0, 10);
    expect(judged(plain, freshWeights(plain, 1), numbers(4, 12, 4), measured).gap.data[0]!).toBeGreaterThan(0.1);
  });
});

test("with kappa 0 rows do not hang on the course: it is SRe2L", async () => {
  const net = await netOf({ ...SIDES, hidden_norm: "batch" });
  const made = (values: Readonly<Record<string, unknown>>) =>
    madeBy(
      "cda",
      { inputs: 4, classes: 3 },
      { network: net, weights: freshWeights(net, 2), steps: 6, perClass: 2 },
      {
        shape: [1, 2, 2],
        ...values,
      },
    );
  const [plain, line, falling] = [
    await made({ kappa: 0 }),
    await made({ kappa: 0, course: "linear" }),
    await made({ kappa: 1 }),
  ];
  expect(line.x).toEqual(plain.x);
  expect(falling.x).not.toEqual(plain.x);
  expect(plain.labels).toEqual([0, 0, 1, 1, 2, 2]);
  const ranged = await made({ range: [-0.5, 0.5], views: 2 });
  expect([ranged.labels.length, ranged.x.every((v) => Math.abs(v) <= 0.5)]).toEqual([18, true]);
});

describe("ridge regression both ways", () => {
  const [few, many] = [numbers(1, 3, 5), numbers(2, 8, 5)];
  const [yFew, yMany] = [numbers(3, 3, 2), numbers(4, 8, 2)];
  const BETA = 0.1;

  /** K(a, b) (K(b, b) + beta s I)^-1 y by elimination with rows exchanged. */
  function foretold(a: Value, b: Value, y: Value): number[][] {
    const row = (v: Value, i: number) => [...v.data.slice(i * v.shape[1]!, (i + 1) * v.shape[1]!)];
    const dot = (p: number[], q: number[]) => p.reduce((sum, x, i) => sum + x * q[i]!, 0);
    const n = b.shape[0]!;
    const scale = b.data.reduce((sum, x) => sum + x * x, 0) / n;
    const left = Array.from({ length: n }, (_, i) => [
      ...Array.from({ length: n }, (_, j) => dot(row(b, i), row(b, j)) + (i === j ? BETA * scale : 0)),
      ...row(y, i),
    ]);
    for (let k = 0; k < n; k++) {
      const best = left
        .slice(k)
        .reduce((most, r, i) => (Math.abs(r[k]!) > Math.abs(left[most]![k]!) ? k + i : most), k);
      [left[k], left[best]] = [left[best]!, left[k]!];
      for (let i = 0; i < n; i++)
        if (i !== k) left[i] = left[i]!.map((v, j) => v - (left[i]![k]! / left[k]![k]!) * left[k]![j]!);
    }
    const weights = left.map((r, i) => r.slice(n).map((v) => v / left[i]![i]!));
    return Array.from({ length: a.shape[0]! }, (_, i) =>
      y.shape[1] === undefined
        ? []
        : Array.from({ length: y.shape[1] }, (_, c) =>
            weights.reduce((sum, w, j) => sum + dot(row(a, i), row(b, j)) * w[c]!, 0),
          ),
    );
  }
  const error = (found: number[][], y: Value) =>
    found.flat().reduce((sum, v, i) => sum + (v - y.data[i]!) ** 2, 0) / y.shape[0]!;

  test("is the explicit solution of the kernel, forward and backward", () => {
    const weights = ridgeWeights(many, yMany, BETA);
    const wanted = foretold(few, many, yMany);
    for (const [i, row] of wanted.entries())
      for (const [c, value] of row.entries()) {
        const own = [...Array(5).keys()].reduce((sum, d) => sum + few.data[i * 5 + d]! * weights.data[d * 2 + c]!, 0);
        expect(own).toBeCloseTo(value, 8);
      }
    const found = backwardError(few, yFew, many, yMany, BETA).data[0]!;
    expect(found).toBeCloseTo(error(foretold(many, few, yFew), yMany), 8);
  });

  test("backward has the gradient of differences, with beta's scale held", () => {
    const x = variable(few.data, [3, 5]);
    const slope = gradients(backwardError(x, yFew, many, yMany, 1e-9), [x])[0]!.data;
    for (const i of [0, 7, 14]) {
      const moved = (by: number) =>
        backwardError(
          constant(
            few.data.map((v, j) => (i === j ? v + by : v)),
            [3, 5],
          ),
          yFew,
          many,
          yMany,
          1e-9,
        ).data[0]!;
      const wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      expect(Math.abs(slope[i]! - wanted)).toBeLessThan(1e-4 * Math.max(1, Math.abs(wanted)));
    }
  });

  test("moves rows to where they foretell the real ones better; with gamma 0 the forward loss is left alone", async () => {
    const labels = Array.from({ length: 30 }, (_, i) => i % 2);
    const x = Float64Array.from(normals(7, 90)).map((v, i) => v + 2 * labels[Math.floor(i / 3)]!);
    const losses: number[] = [];
    const setting = { rows: { x, labels }, perClass: 2, steps: 30, done: (loss: number) => losses.push(loss) };
    const { told, x: made } = await madeBy("bidirectional", { inputs: 3, classes: 2 }, setting, {
      gamma: 0,
      rows_lr: 0.2,
    });
    expect([made.length, told!.gamma]).toEqual([12, 0]);
    expect(losses.at(-1)!).toBeLessThan(losses[0]!);
    const both = await madeBy("bidirectional", { inputs: 3, classes: 2 }, { ...setting, done() {} }, { rows_lr: 0.2 });
    expect(both.told!.forward!).toBeLessThan(told!.forward!);
  });
});

describe("the command", () => {
  let folder = "";
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ingot-recovered-"));
    writeFileSync(join(folder, "net.json"), JSON.stringify(SIDES));
    const rows = Array.from({ length: 6 }, (_, i) => JSON.stringify({ x: [...normals(i, 4)], label: i % 3 }));
    writeFileSync(join(folder, "rows.jsonl"), `${rows.join("\n")}\n`);
    await runScript("train", "--init net.json --data rows.jsonl --steps 1 --save-every 0 -o net/".split(" "), folder);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("makes rows of a trained model", async () => {
    const line =
      "--target data --method cda net/ --shape 1,2,2 --data rows.jsonl --per-class 1 --steps 3 --json -o made.jsonl";
    const { code, text } = await runScript("distill", line.split(" "), folder);
    expect([code, JSON.parse(text)]).toEqual([
      0,
      expect.objectContaining({ method: "cda", rows: 3, real_rows: 6, recognised: expect.any(Number) }),
    ]);
  });

  test.each([
    ["cda net/ --per-class 1", "net/ takes vectors"],
    ["cda net/ --shape 1,3,2", "--shape 1,3,2 is no image of the 4 numbers that net/ takes"],
    ["cda net/ --shape 1,2,2 --steps 1", "net/ has no batch norms whose statistics say what rows are usual"],
    ["cda net/ --shape 1,2,2 --range 1,0", "--range 1,0 is no range"],
    ["cda --init net.json --shape 1,2,2", "looks into a trained model, and --init net.json is none"],
    ["bidirectional net/", "--method bidirectional needs the real rows"],
  ])("refuses %s", async (line, message) => {
    const { code, err } = await runScript("distill", `--target data --method ${line}`.split(" "), folder);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });
});
