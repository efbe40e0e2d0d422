/** `compress width`: scores of units, and the smaller checkpoint. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chosenUnits, largest } from "../../src/compress/width/choose.ts";
import { magnitudes } from "../../src/compress/width/magnitude.ts";
import { measured } from "../../src/compress/width/measured.ts";
import { type Batch, stackExamples } from "../../src/data/batch.ts";
import { Model } from "../../src/model/model.ts";
import { anatomyOf } from "../../src/model/structure/anatomy.ts";
import { readingsOf } from "../../src/model/structure/reads.ts";
import { sliceOf, widthSpaces } from "../../src/model/structure/slice.ts";
import { slicedCheckpoint } from "../../src/model/structure/sliced-checkpoint.ts";
import { shapedModel } from "../../src/model/structure/subnet.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../src/run/batch-programs.ts";
import { mul } from "../../src/tensor/ops/elementwise.ts";
import { headLoss } from "../../src/tensor/ops/head-loss.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { apart, logitsOf, named, network } from "../merge/structure/networks.ts";
import { runScript } from "../support/command.ts";
import { entryOf } from "../support/entry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-width-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

const LLAMA = { ...TINY_TEXT.llama, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2 };
const MLP = { ...TINY_EXAMPLES.mlp, hidden_act: "gelu" };

test("a unit's magnitude is the norm of all that makes it and all that reads it", async () => {
  const model = named(await network(gpu, LLAMA, 1, "llama"));
  const anatomy = anatomyOf(model);
  const found = await magnitudes(model, anatomy, widthSpaces(anatomy));
  const value = async (name: string) => {
    const entry = model.tensors.get(name)!;
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    return { values: new Float32Array(bytes.buffer), columns: entry.shape[1] ?? 1 };
  };
  const sum = async (name: string, own: (row: number, column: number) => boolean) => {
    const { values, columns } = await value(name);
    return values.reduce((a, x, i) => a + (own(Math.floor(i / columns), i % columns) ? x * x : 0), 0);
  };
  const at = "model.layers.1";
  const inner = await Promise.all([
    sum(`${at}.mlp.gate_proj.weight`, (row) => row === 7),
    sum(`${at}.mlp.up_proj.weight`, (row) => row === 7),
    sum(`${at}.mlp.down_proj.weight`, (_, column) => column === 7),
  ]);
  const total = (parts: readonly number[]) => Math.sqrt(parts.reduce((a, b) => a + b, 0));
  expect(found.get(`inner@${at}`)![7]).toBeCloseTo(total(inner), 4);
  // Head 1 of keys and values, of 8 values, which the query heads 2 and 3 read.
  const heads = await Promise.all([
    sum(`${at}.self_attn.q_proj.weight`, (row) => row >= 16),
    ...["k_proj", "v_proj"].map((name) => sum(`${at}.self_attn.${name}.weight`, (row) => row >= 8)),
    sum(`${at}.self_attn.o_proj.weight`, (_, column) => column >= 16),
  ]);
  expect(found.get(`kv@${at}`)![1]).toBeCloseTo(total(heads), 4);
});

const example = (seed: number): Batch => stackExamples([{ x: normals(seed, 7), shape: [7], label: seed % 3 }]);

test("taylor is how the loss of a row changes with a gate on the unit, by differences", async () => {
  const checkpoint = await network(gpu, MLP, 2, "mlp");
  const model = await Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true });
  const anatomy = anatomyOf(shapedModel(model, "mlp"));
  const batch = example(4);
  const readings = readingsOf(anatomy, widthSpaces(anatomy));
  const found = (await measured(model, [batch], readings, { by: "taylor", signal })).get("inner@layers.0")!;
  const lossAt = async (unit: number, gate: number) => {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const mask = Float32Array.from({ length: 9 }, (_, i) => (i === unit ? gate : 1));
    const { hidden, head } = model.record(rec, recordInputs(rec, batch), {
      reads: (module, x) => (module === "layers.1" ? mul(rec, x, rec.constant(mask, [1, 9], "gates")) : x),
    });
    const targets = recordTargets(rec, batch);
    rec.output("loss", headLoss(rec, { hidden, head, width: 3, targets }));
    const program = await Program.compile(gpu, rec);
    fillInputs(program, batch);
    fillTargets(program, batch);
    program.run();
    const [loss] = await program.read("loss");
    program.free();
    return loss!;
  };
  for (const unit of [0, 3, 8]) {
    const slope = ((await lossAt(unit, 1.01)) - (await lossAt(unit, 0.99))) / 0.02;
    expect(found[unit]).toBeCloseTo(Math.abs(slope), 3);
  }
  model.free();
});

test("activation is a unit's root mean square times the norm of what reads it", async () => {
  const checkpoint = await network(gpu, { ...MLP, hidden_sizes: [4] }, 3, "mlp");
  const [w, b, v] = ["layers.0.weight", "layers.0.bias", "classifier.weight"].map(
    (name) => checkpoint.tensors.get(name)!,
  );
  const floats = async (entry: typeof w) => {
    const bytes = new Uint8Array(entry!.bytes);
    await entry!.read(bytes, 0);
    return new Float32Array(bytes.buffer);
  };
  const [weight, bias, reads] = await Promise.all([floats(w), floats(b), floats(v)]);
  const relu = {
    ...checkpoint,
    files: new Map([
      ["config.json", new TextEncoder().encode(JSON.stringify({ ...MLP, hidden_sizes: [4], hidden_act: "relu" }))],
    ]),
  };
  const model = await Model.load(gpu, relu, { dtype: "f32", freeze: () => true });
  const anatomy = anatomyOf(shapedModel(model, "mlp"));
  const batches = [example(1), example(2)];
  const found = await measured(model, batches, readingsOf(anatomy, widthSpaces(anatomy)), { by: "activation", signal });
  const wanted = Array.from({ length: 4 }, (_, unit) => {
    const squares = [1, 2].map((seed) => {
      const x = normals(seed, 7);
      return (
        Math.max(
          0,
          x.reduce((a, value, i) => a + value * weight![unit * 7 + i]!, bias![unit]!),
        ) ** 2
      );
    });
    const norm = Math.hypot(...[0, 1, 2].map((row) => reads![row * 4 + unit]!));
    return Math.sqrt((squares[0]! + squares[1]!) / 2) * norm;
  });
  for (const [unit, value] of wanted.entries()) expect(found.get("inner@layers.0")![unit]).toBeCloseTo(value, 4);
  model.free();
});

describe("what stays", () => {
  test("the largest, of equal ones the first, in their order", () => {
    expect([...largest([1, 5, 3, 5, 0], 3)]).toEqual([1, 2, 3]);
    expect([...largest([2, 2, 2], 2)]).toEqual([0, 1]);
  });

  test("units that do nothing go first, and nothing changes", async () => {
    const whole = await network(gpu, LLAMA, 5, "llama");
    const tensors = new Map(whole.tensors);
    for (const layer of [0, 1]) {
      const name = `model.layers.${layer}.mlp.down_proj.weight`;
      const bytes = new Uint8Array(whole.tensors.get(name)!.bytes);
      await whole.tensors.get(name)!.read(bytes, 0);
      const values = new Float32Array(bytes.buffer).map((x, i) => ((i % 40) % 2 === layer ? 0 : x));
      tensors.set(name, entryOf(name, "F32", [32, 40], values));
    }
    const checkpoint = { ...whole, tensors };
    const model = named(checkpoint);
    const anatomy = anatomyOf(model);
    const spaces = widthSpaces(anatomy).filter(({ kind }) => kind === "inner");
    const scores = new Map(
      spaces.map(({ id, layer }) => [id, Float64Array.from({ length: 40 }, (_, i) => Number(i % 2 !== layer))]),
    );
    const units = chosenUnits(anatomy, spaces, scores, { heads: undefined, inner: 0.5 });
    const small = await slicedCheckpoint(model, sliceOf(model, { units }, anatomy));
    expect(apart(await logitsOf(gpu, small), await logitsOf(gpu, checkpoint))).toBeLessThan(1e-6);
  });
});

describe("the command", () => {
  writeFileSync(join(folder, "tiny.json"), JSON.stringify({ ...LLAMA, vocab_size: 264 }));
  writeFileSync(join(folder, "rows.jsonl"), '{"text":"one and two"}\n{"text":"three and four and five"}\n');
  const run = (line: string) => runScript("compress", line.split(" "), folder);

  test("a model of half the heads and hidden units, by each way", async () => {
    const init = "--init tiny.json --tokenizer byte --data rows.jsonl --steps 1 --batch-size 2 --save-every 0 -o base";
    expect((await runScript("train", init.split(" "), folder)).code).toBe(0);
    for (const by of ["magnitude", "activation", "taylor"]) {
      const rows = by === "magnitude" ? "" : " --calibration rows.jsonl";
      const { code, err, text } = await run(`width base --heads 0.5 --neurons 0.25 --by ${by}${rows} --json -o ${by}`);
      expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
      const { bytes, kept } = JSON.parse(text);
      expect(bytes.after).toBeLessThan(0.8 * bytes.before);
      expect(kept.map(({ units }: { units: number[] }) => units.length)).toEqual([1, 1, 10, 10]);
      const config = JSON.parse(readFileSync(join(folder, by, "config.json"), "utf8"));
      expect(config).toMatchObject({
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 8,
        intermediate_size: 10,
      });
    }
    const measuring = await runScript("evaluate", "taylor --data rows.jsonl --json".split(" "), folder);
    expect(measuring.code).toBe(0);
  });

  test("what cannot be done is refused before work", async () => {
    const refused = async (line: string) => (await run(line)).err;
    expect(await refused("width base -o none")).toContain("nothing is to go");
    expect(await refused("width base --heads 0.5 --by taylor -o none")).toContain("--by taylor looks at what units do");
    expect(await refused("width base --heads 0.5 --calibration rows.jsonl -o none")).toContain(
      "looks at weights alone",
    );
  });
});
