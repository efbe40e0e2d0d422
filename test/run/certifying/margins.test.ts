/** Interval bounds of a perceptron against float64, and what they say of inputs in the box. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { stackExamples } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import { certifiedRows } from "../../../src/run/certifying/certified-rows.ts";
import { expectBounds, inputBox, lowerMargins } from "../../../src/run/certifying/margins.ts";
import { Programs } from "../../../src/run/programs.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals, randomUnits } from "../../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const RANGE = [-1.5, 1.5] as const;
const uniforms = (seed: number, count: number): Float32Array => new Float32Array(count).map(randomUnits(seed));

interface Weights {
  readonly get: (name: string) => Promise<Float64Array>;
}
const weightsOf = (model: Model): Weights => ({
  async get(name) {
    const { buffer, size } = model.parameters.get(name)!;
    return Float64Array.from(await gpu.readFloats(buffer, size));
  },
});

/** The ends of a linear layer's outputs, in float64; with a shift and a scale of each after it. */
function linearEnds(
  low: Float64Array,
  high: Float64Array,
  w: Float64Array,
  b: Float64Array,
  turn: readonly Float64Array[] = [b.map(() => 1), b.map(() => 0)],
) {
  const ends = [...b].map((bias, i) => {
    let [least, most] = [bias, bias];
    for (let j = 0; j < low.length; j++) {
      const weight = w[i * low.length + j]!;
      least += weight * (weight > 0 ? low[j]! : high[j]!);
      most += weight * (weight > 0 ? high[j]! : low[j]!);
    }
    const [scale, shift] = [turn[0]![i]!, turn[1]![i]!];
    const moved = [scale * least + shift, scale * most + shift] as const;
    return scale > 0 ? moved : ([moved[1], moved[0]] as const);
  });
  return [Float64Array.from(ends, ([l]) => l), Float64Array.from(ends, ([, h]) => h)] as const;
}

/** Lower bounds of the label's logit over each other for one row, by lower and upper ends throughout. */
async function reference(model: Model, x: readonly number[], label: number, epsilon: number, sizes: readonly number[]) {
  const weights = weightsOf(model);
  let low = Float64Array.from(x, (v) => Math.max(RANGE[0], v - epsilon));
  let high = Float64Array.from(x, (v) => Math.min(RANGE[1], v + epsilon));
  const widths: number[] = [];
  for (const i of sizes.keys()) {
    const [w, b] = [await weights.get(`layers.${i}.weight`), await weights.get(`layers.${i}.bias`)];
    let turn: Float64Array[] | undefined;
    if (model.parameters.has(`norms.${i}.weight`)) {
      const [gain, bias, mean, variance] = await Promise.all(
        ["weight", "bias", "running_mean", "running_var"].map((name) => weights.get(`norms.${i}.${name}`)),
      );
      const scale = gain!.map((g, k) => g / Math.sqrt(variance![k]! + 1e-5));
      turn = [scale, bias!.map((shift, k) => shift - scale[k]! * mean![k]!)];
    }
    const [l, h] = linearEnds(low, high, w, b, turn);
    [low, high] = [l.map((v) => Math.max(0, v)), h.map((v) => Math.max(0, v))];
    widths.push(high.reduce((sum, v, k) => sum + (v - low[k]!) / 2, 0) / high.length);
  }
  const [w, b] = [await weights.get("classifier.weight"), await weights.get("classifier.bias")];
  const margins = [...b].map((_, other) => {
    const row = Float64Array.from(low, (_, j) => w[label * low.length + j]! - w[other * low.length + j]!);
    return linearEnds(low, high, row, Float64Array.of(b[label]! - b[other]!))[0][0]!;
  });
  return { margins, widths };
}

/** A perceptron whose weights are all drawn, norms and statistics too. */
async function net(
  input: number,
  hidden: readonly number[],
  classes: number,
  norm: boolean,
  seed: number,
): Promise<Model> {
  const json = { model_type: "mlp", input_size: input, hidden_sizes: hidden, num_labels: classes };
  const model = await Model.fresh(gpu, norm ? { ...json, hidden_norm: "batch" } : json, "net", { seed });
  for (const [i, [name, parameter]] of [...model.parameters].entries())
    if (parameter.shape.length === 1) {
      const drawn = normals(seed + i, parameter.size, 0.4);
      parameter.write(name.endsWith("running_var") ? drawn.map((v) => 0.5 + Math.abs(v)) : drawn);
    }
  return model;
}

const rowsOf = (seed: number, count: number, size: number, classes: number) =>
  Array.from({ length: count }, (_, i) => ({
    x: uniforms(seed + i, size).map((v) => 2.4 * v - 1.2),
    shape: [size],
    label: (3 * i + seed) % classes,
  }));

async function bounded(model: Model, rows: ReturnType<typeof rowsOf>, epsilon: number) {
  const programs = new Programs(gpu);
  const batch = stackExamples(rows);
  const { program } = await programs.get("", (rec) => {
    const x = rec.input("x", [batch.rows, ...batch.shape]);
    const recorded = model.record(rec, { batch: batch.rows, x });
    const box = recorded.bounded(inputBox(rec, x, { epsilon, below: -epsilon, range: RANGE }), () => {});
    const targets = rec.input("targets", [batch.rows], "i32");
    rec.output("margins", lowerMargins(rec, model, recorded, box, targets));
    rec.output("logits", recorded.head(recorded.hidden));
    rec.output("radius", box.radius);
  });
  program.write("x", batch.x);
  program.write("targets", batch.labels);
  program.run();
  const found = {
    margins: await program.read("margins"),
    logits: await program.read("logits"),
    radius: await program.read("radius"),
  };
  programs.free();
  return found;
}

describe.each([
  [7, [13, 5], 3, false],
  [1, [1], 2, true],
  [19, [31, 17, 9], 5, true],
  [5, [], 4, false],
] as const)("%i inputs, layers %j, %i classes, norms %p", (input, hidden, classes, norm) => {
  test.each([0, 0.03, 0.4])("bounds are those of float64 at radius %p", async (epsilon) => {
    const model = await net(input, hidden, classes, norm, 11);
    const rows = rowsOf(5, 9, input, classes);
    const { margins } = await bounded(model, rows, epsilon);
    for (const [i, { x, label }] of rows.entries()) {
      const wanted = await reference(model, [...x], label, epsilon, hidden);
      for (const [k, margin] of wanted.margins.entries())
        expect(Math.abs(margins[i * classes + k]! - margin)).toBeLessThan(2e-5 * (1 + Math.abs(margin)));
    }
    model.free();
  });

  test("a radius of 0 gives the forward pass itself", async () => {
    const model = await net(input, hidden, classes, norm, 3);
    const rows = rowsOf(8, 6, input, classes);
    const { margins, logits, radius } = await bounded(model, rows, 0);
    expect(radius.every((r) => r === 0)).toBe(true);
    for (const [i, { label }] of rows.entries())
      for (let k = 0; k < classes; k++)
        expect(margins[i * classes + k]!).toBe(Math.fround(logits[i * classes + label]! - logits[i * classes + k]!));
    model.free();
  });

  test("no input of the box is beyond its bounds", async () => {
    const model = await net(input, hidden, classes, norm, 21);
    const rows = rowsOf(31, 5, input, classes);
    const epsilon = 0.2;
    const { margins } = await bounded(model, rows, epsilon);
    for (let draw = 0; draw < 6; draw++) {
      // Corners of the box, and places within it.
      const moved = rows.map((row, i) => {
        const to = uniforms(1000 * draw + i, input).map((v) => (draw % 2 === 0 ? Math.sign(v - 0.5) : 2 * v - 1));
        return { ...row, x: row.x.map((v, j) => Math.min(RANGE[1], Math.max(RANGE[0], v + epsilon * to[j]!))) };
      });
      const { logits } = await bounded(model, moved, 0);
      for (const [i, { label }] of rows.entries())
        for (let k = 0; k < classes; k++) {
          const gap = logits[i * classes + label]! - logits[i * classes + k]!;
          expect(gap).toBeGreaterThan(margins[i * classes + k]! - 1e-5 * (1 + Math.abs(gap)));
        }
    }
    model.free();
  });
});

test("He's initialisation widens bounds at every layer, that of interval bounds holds them", async () => {
  const sizes = Array<number>(7).fill(256);
  const widths = async (init: object) => {
    const json = { model_type: "mlp", input_size: 256, hidden_sizes: sizes, num_labels: 10, ...init };
    const model = await Model.fresh(gpu, json, "deep", { seed: 4 });
    const row = { x: uniforms(9, 256).map((v) => 0.8 * v - 0.4), label: 0 };
    const found = await reference(model, [...row.x], 0, 0.1, sizes);
    const [own] = await certifiedRows(model, [stackExamples([{ ...row, shape: [256] }])], {
      epsilon: 0.1,
      range: RANGE,
    });
    expect(own!.width / found.widths.at(-1)!).toBeCloseTo(1, 4);
    model.free();
    return found.widths;
  };
  const he = await widths({});
  for (const [i, width] of he.entries())
    if (i > 0) expect(width / he[i - 1]!).toBeWithin(0.75 * Math.sqrt(256 / Math.PI), 1.25 * Math.sqrt(256 / Math.PI));
  for (const width of await widths({ weight_init: "ibp" })) expect(width).toBeWithin(0.07, 0.13);
});

test("says which models have no bounds", async () => {
  const refused = async (json: object, why: string) => {
    const model = await Model.fresh(
      gpu,
      { input_size: 3, hidden_sizes: [4], num_labels: 2, model_type: "mlp", ...json },
      "m",
      {
        seed: 0,
      },
    );
    expect(() => expectBounds(model, "m", "--probe ibp")).toThrow(why);
    model.free();
  };
  await refused(
    { hidden_act: "gelu" },
    "--probe ibp needs bounds of a classifier's outputs, and m has none: gelu falls",
  );
  await refused({ num_labels: 300 }, "it has 300 classes, more than 256");
  await refused({ model_type: "mlp-experts", num_experts: 2 }, "there are none for mlp-experts");
});
