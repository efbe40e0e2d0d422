/** The denoiser against float64: what it says, and gradients by central differences; the levels it is told of. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import type { NoiseSizes } from "../../src/model/noise.ts";
import { recordInputs } from "../../src/run/batch-programs.ts";
import { levelColumns, levelGrid } from "../../src/run/denoising/levels.ts";
import { denoised, fixedLevel } from "../../src/run/denoising/noised.ts";
import { Programs } from "../../src/run/programs.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as denoise } from "../../src/train/methods/losses/denoise.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomWords } from "../support/random.ts";

const gpu = await sharedGpu();
const JSON_ = {
  ...{ model_type: "denoiser", input_size: 3, hidden_size: 6, num_hidden_layers: 2, num_labels: 2 },
  ...{ noise_frequencies: 3, sigma_data: 0.7 },
};
const NOISE: NoiseSizes = { frequencies: 3, low: 0.002, high: 80, data: 0.7 };

type Weights = Map<string, Float64Array>;

async function made(): Promise<{ model: Model; weights: Weights }> {
  const model = await Model.fresh(gpu, JSON_, "m", { seed: 3 });
  for (const [i, parameter] of [...model.parameters.values()].entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  const weights: Weights = new Map();
  for (const [name, { buffer, size }] of model.parameters)
    weights.set(name, Float64Array.from(await gpu.readFloats(buffer, size)));
  return { model, weights };
}

const silu = (x: number) => x / (1 + Math.exp(-x));

/** D(x, sigma, class) of one row. */
function reference(w: Weights, x: readonly number[], sigma: number, label: number): number[] {
  const linear = (from: readonly number[], module: string) => {
    const weight = w.get(`${module}.weight`)!;
    const bias = w.get(`${module}.bias`);
    return Array.from({ length: weight.length / from.length }, (_, o) =>
      from.reduce((sum, value, i) => sum + weight[o * from.length + i]! * value, bias?.[o] ?? 0),
    );
  };
  const waves = [1 / 8, Math.SQRT1_2, 4].flatMap((turns) => {
    const angle = 2 * Math.PI * turns * (Math.log(sigma) / 4);
    return [Math.cos(angle), Math.sin(angle)];
  });
  const level = linear(waves, "noise").map((v, i) => silu(v + w.get("classes.weight")![label * 6 + i]!));
  const { low, data } = NOISE;
  let h = linear(
    x.map((v) => v / Math.sqrt(sigma ** 2 + data ** 2)),
    "input",
  );
  for (const layer of [0, 1]) {
    const told = linear(level, `layers.${layer}.level`);
    const up = linear(h, `layers.${layer}.up`).map((v, i) => silu(v + told[i]!));
    h = linear(up, `layers.${layer}.down`).map((v, i) => v + h[i]!);
  }
  const said = linear(h.map(silu), "output");
  const skip = data ** 2 / ((sigma - low) ** 2 + data ** 2);
  const out = (data * (sigma - low)) / Math.sqrt(sigma ** 2 + data ** 2);
  return x.map((v, i) => skip * v + out * said[i]!);
}

const ROWS = [
  [0.4, -1.2, 2],
  [-0.7, 0.3, 0.1],
];

test("says what its equations say, of every class and of none; at the least level the row itself", async () => {
  const { model, weights } = await made();
  for (const sigma of [0.002, 0.3, 40]) {
    const programs = new Programs(gpu);
    const { program } = await programs.get("", (rec) => {
      const noise = fixedLevel(rec, model, sigma, rec.constant(Int32Array.of(1, 2), [2], "classes"));
      rec.output("d", denoised(rec, model, { x: rec.constant(Float32Array.from(ROWS.flat()), [2, 3], "x"), noise }));
    });
    program.run();
    const said = await program.read("d");
    const wanted = [...reference(weights, ROWS[0]!, sigma, 1), ...reference(weights, ROWS[1]!, sigma, 2)];
    for (const [i, value] of wanted.entries()) expect(said[i]).toBeCloseTo(value, 5);
    if (sigma === 0.002)
      expect([...said].map((v, i) => v - ROWS.flat()[i]!)).toEqual(Array(6).fill(expect.closeTo(0, 6)));
    programs.free();
  }
  model.free();
});

test("the gradient of --loss denoise is its slope, in every weight", async () => {
  const { model, weights } = await made();
  const { objective } = await denoise.own!({
    ...{ model, values: bindDefaults(denoise, { denoise_drop: 0.5 }).values, seed: 4, steps: 1, batch: 4 },
    ...{ softened: {}, groups: [], begins: true, places: undefined, recompute: false },
  });
  const batch = stackExamples(
    Array.from({ length: 4 }, (_, i) => ({ x: normals(i, 3), shape: [3], label: i % 2, place: `r:${i}` })),
  );
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  rec.output("loss", metrics.loss!);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  // What the loss filled the program with is what the reference reads.
  const filled = new Map<string, ArrayLike<number>>();
  const write = program.write.bind(program);
  program.write = (name, values) => {
    filled.set(name, values);
    write(name, values);
  };
  objective.begin?.(1);
  objective.fill(program, batch, 4, "");
  program.run({ accumulate: 0 });
  const of = (name: string) => [...Array.from(filled.get(name)!)];
  const classes = of("classes");
  expect(classes.some((label) => label === 2) && classes.some((label) => label < 2)).toBeTrue();
  const noisy = of("noisy");
  // c_in = 1 / sqrt(sigma^2 + d^2) gives the level back.
  const sigmas = of("level into").map((into) => Math.sqrt(1 / into ** 2 - NOISE.data ** 2));
  const loss = () =>
    of("weights").reduce((sum, weight, row) => {
      const said = reference(weights, noisy.slice(3 * row, 3 * row + 3), sigmas[row]!, classes[row]!);
      return sum + (weight * said.reduce((all, v, i) => all + (v - batch.x[3 * row + i]!) ** 2, 0)) / 3;
    }, 0);
  expect((await program.read("loss"))[0]! / loss()).toBeCloseTo(1, 4);
  for (const [row, sigma] of sigmas.entries())
    expect((of("weights")[row]! * 4 * (sigma * 0.7) ** 2) / (sigma ** 2 + 0.49)).toBeCloseTo(1, 3);
  const word = randomWords(5);
  for (const [name, parameter] of model.parameters) {
    const gradient = await gpu.readFloats(parameter.gradient, parameter.size);
    const most = gradient.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-2);
    const i = word() % parameter.size;
    const values = weights.get(name)!;
    const kept = values[i]!;
    values[i] = kept + 1e-4;
    const above = loss();
    values[i] = kept - 1e-4;
    const slope = (above - loss()) / 2e-4;
    values[i] = kept;
    expect(Math.abs(gradient[i]! - slope) / most).toBeLessThan(1e-3);
  }
  program.free();
  model.free();
});

test("levels go from the least to the largest, bent as Karras et al. have them", () => {
  const grid = levelGrid(5, NOISE);
  expect([grid[0], grid[4]]).toEqual([0.002, 80]);
  expect(grid[2]).toBeCloseTo(((0.002 ** (1 / 7) + 80 ** (1 / 7)) / 2) ** 7, 6);
  const { skip, out, into } = levelColumns([0.002, 80], NOISE);
  expect([skip[0], out[0]]).toEqual([1, 0]);
  expect(skip[1]).toBeCloseTo(0.49 / (79.998 ** 2 + 0.49), 8);
  expect(into[1]).toBeCloseTo(1 / Math.sqrt(6400.49), 8);
  expect(levelGrid(1, NOISE)).toEqual([80]);
});

test("a pass that says no level is refused", async () => {
  const { model } = await made();
  const batch = stackExamples([{ x: normals(1, 3), shape: [3], label: 0 }]);
  const rec = new Recorder(profileOf(gpu), { training: false });
  expect(() => model.record(rec, recordInputs(rec, batch))).toThrow("a denoiser reads rows with a level of noise");
  model.free();
});
