/** Noise consistency training: the adapter's equation, what it leaves as it is, and that noise obeys in the end. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generated, nctObjective } from "../../src/adapt/control/consistency.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { method as control } from "../../src/model/adapters/methods/control.ts";
import { Model } from "../../src/model/model.ts";
import { noiseSource } from "../../src/run/denoising/noise-source.ts";
import { Programs } from "../../src/run/programs.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
/** Generates a row at once: sigma_max near sigma_data, so that D is a good part of its input. */
const SHAPE = {
  ...{ model_type: "denoiser", input_size: 2, hidden_size: 12, num_hidden_layers: 1 },
  ...{ sigma_max: 0.5, sigma_data: 0.5 },
};
const generator = () =>
  Model.fresh(gpu, SHAPE, "g", {
    seed: 1,
    adapter: { type: bindDefaults(control, { control_size: 4, control_rank: 12 }), seed: 2 },
  });

/** A classifier of quadrants: 0 where both values are above 0, 1 where the second alone is below, and so on. */
async function quadrants(): Promise<Model> {
  const model = await Model.fresh(gpu, { model_type: "mlp", input_size: 2, hidden_sizes: [], num_labels: 4 }, "q", {
    ...{ seed: 1, freeze: () => true },
  });
  const signs = [1, 1, 1, -1, -1, 1, -1, -1].map((sign) => 20 * sign);
  model.parameters.get("classifier.weight")!.write(Float32Array.from(signs));
  return model;
}
const quadrantOf = (x: ArrayLike<number>, at: number) => (x[at]! > 0 ? 0 : 2) + (x[at + 1]! > 0 ? 0 : 1);

/** Rows of noise (B, 2) under a control each; without an adapter's input where there is none. */
async function rowsOf(model: Model, z: Float32Array, asked?: number): Promise<Float32Array> {
  const programs = new Programs(gpu);
  const rows = z.length / 2;
  const marked = Float32Array.from({ length: rows * 4 }, (_, i) => (i % 4 === asked ? 1 : 0));
  const { program } = await programs.get("", (rec) => {
    const given = asked === undefined ? undefined : rec.constant(marked, [rows, 4], "control");
    rec.output("x", generated(rec, model, rec.constant(z, [rows, 2], "z"), given));
  });
  program.run();
  const x = await program.read("x");
  programs.free();
  return x;
}

test("a new adapter changes nothing; its equation is what its file says", async () => {
  const model = await generator();
  const z = normals(4, 6);
  const plain = await rowsOf(model, z);
  expect([...(await rowsOf(model, z, 3))]).toEqual([...plain]);
  const values = new Map<string, Float32Array>();
  for (const [i, parameter] of model.trainable().entries()) {
    const own = normals(i + 9, parameter.size, 0.5);
    parameter.write(own);
    values.set(parameter.name.replace("base_model.model.", ""), own);
  }
  expect([...values.keys()].filter((name) => name.startsWith("input."))).toEqual([
    ...["input.control_down.weight", "input.control_down.bias", "input.control_in.weight", "input.control_up.weight"],
  ]);
  // Beside the input alone: y = W c_in x + b + U silu(D c_in x + C c + d).
  for (const parameter of model.trainable())
    if (parameter.name.includes("layers")) parameter.write(new Float32Array(parameter.size));
  const programs = new Programs(gpu);
  const { program } = await programs.get("", (rec) => {
    const marked = rec.constant(Float32Array.of(0, 0, 0, 1), [1, 4], "control");
    const noise = {
      ...{
        features: rec.constant(new Float32Array(16), [1, 16], "f"),
        into: rec.constant(Float32Array.of(2), [1, 1], "i"),
      },
      ...{ skip: rec.constant(Float32Array.of(0), [1, 1], "s"), out: rec.constant(Float32Array.of(1), [1, 1], "o") },
    };
    const x = rec.constant(Float32Array.of(0.3, -0.4), [1, 2], "x");
    rec.output("h", model.record(rec, { batch: 1, x, noise, control: marked }).notes.get("hidden.0")!);
  });
  program.run();
  const found = await program.read("h");
  const weight = await gpu.readFloats(model.parameters.get("input.weight")!.buffer, 24);
  const of = (name: string) => values.get(`input.${name}`)!;
  const x = [0.6, -0.8];
  const silu = (v: number) => v / (1 + Math.exp(-v));
  const dot = (w: Float32Array, row: number) => w[2 * row]! * x[0]! + w[2 * row + 1]! * x[1]!;
  const low = Array.from({ length: 12 }, (_, r) =>
    silu(dot(of("control_down.weight"), r) + of("control_down.bias")[r]! + of("control_in.weight")[4 * r + 3]!),
  );
  for (let o = 0; o < 12; o++) {
    const more = low.reduce((sum, v, r) => sum + of("control_up.weight")[12 * o + r]! * v, 0);
    expect(found[o]).toBeCloseTo(dot(weight, o) + more, 4);
  }
  programs.free();
  model.free();
});

test("coupled noise fades and stays normal", async () => {
  const [model, judge] = [await generator(), await quadrants()];
  const objective = nctObjective(model, judge, {
    ...{ levels: 5, boundary: 1, classifierWeight: 0, metric: "l2", seed: 1 },
  });
  const rec = new Recorder(profileOf(gpu));
  objective.record(rec, { rows: 2000 }, "");
  const program = await Program.compile(gpu, rec);
  const filled = new Map<string, Float32Array>();
  program.write = (name, values) => void filled.set(name, Float32Array.from(Array.from(values)));
  objective.begin?.(1);
  objective.fill(program, { rows: 2000 }, 2000, "");
  for (const name of ["z", "nearer", "further"]) {
    const squares = filled.get(name)!.reduce((sum, v) => sum + v * v, 0) / 4000;
    expect(Math.abs(squares - 1)).toBeLessThan(0.08);
  }
  const likeness = (name: string) => filled.get("z")!.reduce((sum, v, i) => sum + v * filled.get(name)![i]!, 0) / 4000;
  expect(likeness("nearer")).toBeGreaterThan(likeness("further") + 0.1);
  program.free();
  judge.free();
  model.free();
});

test("the share of rows in the quadrant that is asked for rises; the base and coupled noise stay", async () => {
  const [model, judge] = [await generator(), await quadrants()];
  const before = await gpu.readFloats(model.parameters.get("input.weight")!.buffer, 24);
  const z = normals(77, 400);
  const plain = await rowsOf(model, z);
  const share = async () => {
    let right = 0;
    for (const asked of [0, 1, 2, 3]) {
      const x = await rowsOf(model, z, asked);
      for (let row = 0; row < 200; row++) if (quadrantOf(x, 2 * row) === asked) right++;
    }
    return right / 800;
  };
  const first = await share();
  expect(Math.abs(first - 0.25)).toBeLessThan(0.01); // every row is in one quadrant, whatever is asked for
  const { last } = await trainModel({
    ...{ model, steps: 150, seed: 1, signal: new AbortController().signal, source: noiseSource(128) },
    objective: nctObjective(model, judge, { levels: 8, boundary: 1, classifierWeight: 0.3, metric: "l2", seed: 3 }),
    optimizer: bindDefaults(adamw, { weight_decay: 0 }),
    rate: () => 1e-2,
  });
  expect(Object.keys(last!.metrics)).toEqual(["loss", "consistency", "boundary", "control_loss"]);
  expect(await share()).toBeGreaterThan(0.7);
  expect([...(await gpu.readFloats(model.parameters.get("input.weight")!.buffer, 24))]).toEqual([...before]);
  expect([...(await rowsOf(model, z))]).toEqual([...plain]);
  model.free();
  judge.free();
});

const folder = mkdtempSync(join(tmpdir(), "ingot-nct-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (line: string) => {
  const [script, ...argv] = line.split(" ");
  return runScript(script!, [...argv, "-q"], folder);
};
const done = async (line: string) => {
  const { code, text, err } = await run(line);
  if (code !== 0) throw new Error(`${line}: ${err}`);
  return text;
};

beforeAll(async () => {
  const rows = Array.from({ length: 8 }, (_, i) => `${JSON.stringify({ x: [i % 2, i % 3], label: i % 2 })}\n`);
  writeFileSync(join(folder, "rows.jsonl"), rows.join(""));
  const write = (name: string, json: unknown) => writeFileSync(join(folder, name), JSON.stringify(json));
  write("g.json", SHAPE);
  write("c.json", { model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 2 });
  write("wide.json", { model_type: "mlp", input_size: 3, hidden_sizes: [4], num_labels: 2 });
  await done("train --init g.json --data rows.jsonl --loss ict --steps 2 -o g/");
  await done("train --init c.json --data rows.jsonl --steps 1 -o c/");
  writeFileSync(join(folder, "three.jsonl"), '{"x": [1, 2, 3], "label": 0}\n');
  await done("train --init wide.json --data three.jsonl --steps 1 -o wide/");
});

test("the command writes an adapter with its lineage, the same each time; draws ask it", async () => {
  await done("adapt nct g/ --classifier c/ --steps 2 --batch-size 4 -o a/");
  await done("adapt nct g/ --classifier c/ --steps 2 --batch-size 4 -o b/");
  const [a, b] = ["a", "b"].map((name) => readFileSync(join(folder, name, "adapter_model.safetensors")));
  expect(a!.equals(b!)).toBeTrue();
  expect(JSON.parse(readFileSync(join(folder, "a/adapter_config.json"), "utf8"))).toMatchObject({
    ...{ peft_type: "CONTROL", control_size: 2, control_rank: 16 },
  });
  const drawn = await done("sample vectors g/+a/ --steps 1 --count 2 --ask 1");
  expect(drawn).not.toBe(await done("sample vectors g/+a/ --steps 1 --count 2"));
  expect(await done("sample vectors g/+a/ --steps 1 --count 2")).toBe(
    await done("sample vectors g/ --steps 1 --count 2"),
  );
  const lineage = JSON.stringify(JSON.parse(await done("inspect a/ --json")).lineage);
  expect(lineage).toContain('"adapt nct"');
  expect(lineage).toContain('"classifier"');
});

test.each([
  ["adapt nct c/ --classifier c/ -o x/", "adds a control to a denoiser, and c/ is a mlp"],
  ["adapt nct g/ --classifier g/ -o x/", "--classifier g/ is no classifier of numbers"],
  ["adapt nct g/ --classifier wide/ -o x/", "wide/ reads rows of 3 numbers, and g/ makes rows of 2"],
  ["sample vectors g/ --ask 0", "g/ has no adapter that is asked for anything"],
  ["train c/ --data rows.jsonl --adapter control --steps 1 -o x/", "none of its usual layers"],
])("%s is refused", async (line, why) => {
  const { code, err } = await run(line);
  expect(code).toBe(2);
  expect(err).toContain(why);
});
