/**
 * What `merge` computes from its flags: types, weights, filters, gradients; and which tensors it leaves as they are.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { bytesOf } from "../checkpoint/sample.ts";
import { runScript } from "../support/command.ts";
import { EPSILON, expectWithin, rounded } from "../support/floats.ts";
import {
  DECODER,
  floatsOf,
  merge,
  type Read,
  readTensors,
  type Shapes,
  tensorsOf,
  writeModel,
} from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

const TRAIN = join(import.meta.dir, "../golden/train");
const UP0 = "model.layers.0.mlp.up_proj.weight";
const UP1 = "model.layers.1.mlp.up_proj.weight";
const NORM = "model.norm.weight";

let folder: string;
const [a, b, base] = [1, 2, 3].map((seed) => tensorsOf(DECODER, seed)) as ReturnType<typeof tensorsOf>[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-values-"));
  for (const [name, tensors] of Object.entries({ a, b, base })) writeModel(join(folder, name), tensors!);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function merged(argv: string): Promise<Map<string, Read>> {
  const { code, err, out } = await merge(`${argv} -q`.split(" "), { cwd: folder });
  expect([argv, code, err]).toEqual([argv, 0, expect.any(String)]);
  return readTensors(out);
}

const valuesOf = (model: typeof a, name: string): Float32Array => floatsOf(model!.find((one) => one.name === name)!);

/** Expects sum_k weights[k] * model k, for a tensor of a and b, to one part in a million of the largest value. */
function expectSum(found: Map<string, Read>, name: string, weights: readonly [number, number]): void {
  const [x, y] = [valuesOf(a, name), valuesOf(b, name)];
  const wanted = Float64Array.from(x, (value, i) => weights[0] * value + weights[1] * y[i]!);
  expectWithin(found.get(name)!.floats, wanted, () => 1e-6, name);
}

describe("weights", () => {
  test("one per model, negative ones too", async () => {
    const found = await merged("a b --method linear --weight 1.5,-0.5");
    for (const name of Object.keys(DECODER)) expectSum(found, name, [1.5, -0.5]);
    const task = await merged("a --base b --method task-arithmetic --weight -0.5");
    for (const name of Object.keys(DECODER)) expectSum(task, name, [-0.5, 1.5]);
  });

  test("a filter decides for the tensors that it names, and the rest keep the plain value", async () => {
    const found = await merged("a b --method linear --weight 0.5 --set weight:mlp=0.2,0.8");
    expectSum(found, UP0, [0.2, 0.8]);
    expectSum(found, UP1, [0.2, 0.8]);
    expectSum(found, NORM, [0.5, 0.5]);
  });

  test("in brackets they are a gradient over depth; outside the blocks its start counts", async () => {
    const found = await merged("a b --method linear --weight [1,0],[0,1]");
    expectSum(found, UP0, [1, 0]);
    expectSum(found, UP1, [0, 1]);
    expectSum(found, NORM, [1, 0]);
    const slerped = await merged("b --base a --method slerp --t 0,1");
    expectSum(slerped, UP0, [1, 0]);
    expectSum(slerped, UP1, [0, 1]);
  });

  test("a model listed twice counts once, or twice with --allow-duplicates", async () => {
    expectSum(await merged("a b b --method linear --weight 1"), UP0, [0.5, 0.5]);
    expectSum(await merged("a b b --method linear --weight 1 --allow-duplicates"), UP0, [1 / 3, 2 / 3]);
  });
});

test("--post lines scales the change from the base by depth", async () => {
  const found = await merged(
    "a --base b --method task-arithmetic --weight 1 --post lines --lines-alpha 0.25 --lines-beta 0.5",
  );
  expectSum(found, UP0, [0.25, 0.75]);
  expectSum(found, UP1, [0.75, 0.25]);
  expectSum(found, NORM, [0.25, 0.75]);
});

test("--post lines finds alpha for several models from the norms of their changes", async () => {
  // Worked in float64: |sum of task vectors|_1 / |merged task vector|_1 / 2 over all tensors.
  const argv = "a b --base base --method ties --weight 1 --density 0.5";
  const merge = await merged(argv);
  let [summed, changed] = [0, 0];
  for (const [name, { floats }] of merge) {
    const [x, y, origin] = [a, b, base].map((model) => valuesOf(model!, name));
    for (const [i, value] of floats.entries()) {
      summed += Math.abs(x![i]! + y![i]! - 2 * origin![i]!);
      changed += Math.abs(value - origin![i]!);
    }
  }
  const alpha = summed / changed / 2;
  expect(alpha).toBeGreaterThan(0.1);
  const beta = Math.max(0, 1 - alpha);
  const derived = await merged(`${argv} --post lines`);
  const given = await merged(`${argv} --post lines --lines-alpha ${alpha} --lines-beta ${beta}`);
  for (const [name, { floats }] of derived)
    for (const [i, value] of floats.entries()) expect(value).toBeCloseTo(given.get(name)!.floats[i]!, 5);
});

describe("types", () => {
  test("--out-dtype rounds the result to nearest even once", async () => {
    const exact = await merged("a b --method linear --weight 0.3,0.7");
    for (const [typed, dtype] of [
      ["float16", "F16"],
      ["bfloat16", "BF16"],
    ] as const) {
      const found = await merged(`a b --method linear --weight 0.3,0.7 --out-dtype ${typed}`);
      for (const [name, read] of found) {
        expect([name, read.dtype]).toEqual([name, dtype]);
        expect([name, read.floats]).toEqual([name, rounded(exact.get(name)!.floats, dtype)]);
      }
    }
  });

  test("--dtype rounds the inputs first and is the output's type", async () => {
    const found = await merged("a b --method linear --weight 1 --dtype bfloat16");
    for (const [name, read] of found) {
      const [x, y] = [a, b].map((model) => rounded(valuesOf(model!, name), "BF16"));
      const wanted = rounded(
        x!.map((value, i) => (value + y![i]!) / 2),
        "BF16",
      );
      expect([name, read.dtype]).toEqual([name, "BF16"]);
      expectWithin(read.floats, wanted, (i) => 2 * EPSILON.BF16 * Math.abs(wanted[i]!), name);
    }
    const wide = await merged("a b --method linear --weight 1 --dtype bfloat16 --out-dtype float32");
    for (const [name, read] of wide) expect([name, read.dtype]).toEqual([name, "F32"]);
  });

  test("F64 and F8 outputs", async () => {
    const exact = await merged("a b --method linear --weight 0.3,0.7");
    for (const dtype of ["F64", "F8_E4M3", "F8_E5M2"] as const) {
      const shapes = Object.fromEntries(
        Object.entries(DECODER).map(([name, shape]) => [name, [dtype, shape]]),
      ) as Shapes;
      for (const [i, name] of [`a-${dtype}`, `b-${dtype}`].entries())
        writeModel(join(folder, name), tensorsOf(shapes, i + 1));
      const found = await merged(`a-${dtype} b-${dtype} --method linear --weight 0.3,0.7`);
      for (const [name, read] of found) {
        expect([name, read.dtype]).toEqual([name, dtype]);
        const [x, y] = [1, 2].map((seed) => floatsOf(tensorsOf(shapes, seed).find((one) => one.name === name)!));
        const sum = x!.map((value, i) => 0.3 * value + 0.7 * y![i]!);
        // A sum halfway between two values may fall to either; small ones have a fixed distance.
        const apart = { F64: 1e-6, F8_E4M3: 2 ** -3, F8_E5M2: 2 ** -2 }[dtype];
        const least = { F64: 1e-7, F8_E4M3: 2 ** -9, F8_E5M2: 2 ** -16 }[dtype];
        expectWithin(read.floats, rounded(sum, dtype), (i) => Math.max(apart * Math.abs(sum[i]!), least), name);
        if (dtype === "F64") expectWithin(read.floats, exact.get(name)!.floats, () => 1e-6, name);
      }
    }
  });

  test("inputs of several types", async () => {
    const types: Dtype[] = ["F32", "BF16", "F16", "F64"];
    for (const [i, dtype] of types.entries()) writeModel(join(folder, `in-${dtype}`), tensorsOf(DECODER, i + 1, dtype));
    const models = types.map((dtype) => `in-${dtype}`).join(" ");
    const found = await merged(`${models} --method linear --weight 1`);
    for (const [name, read] of found) {
      const inputs = types.map((dtype, i) =>
        floatsOf(tensorsOf(DECODER, i + 1, dtype).find((one) => one.name === name)!),
      );
      const wanted = Float64Array.from(inputs[0]!, (_, i) => inputs.reduce((sum, x) => sum + x[i]!, 0) / 4);
      expect([name, read.dtype]).toEqual([name, "F32"]);
      expectWithin(read.floats, wanted, () => 1e-7, name);
    }
  });
});

describe("tensors of odd kinds", () => {
  const odd: Shapes = {
    "empty.weight": [0, 8],
    "scalar.weight": [],
    "one.weight": [1],
    "counts.weight": ["I64", [5]],
    "mask.weight": ["BOOL", [7]],
    "model.rotary_emb.inv_freq": [4],
    'quote"s \\ and \u00e9\u{1f600}\n.weight': [3],
    __proto__x: [3],
    constructor: [2, 3],
    "": [2],
  };

  test("integers and buffers are copied, empty tensors and scalars come through, any name will do", async () => {
    const [x, y] = [7, 8].map((seed) => tensorsOf(odd, seed));
    writeModel(join(folder, "odd-x.safetensors"), x!);
    writeModel(join(folder, "odd-y.safetensors"), y!);
    for (const method of ["linear --weight 1", "karcher", "ties --base odd-x.safetensors --weight 1"]) {
      const models = method.startsWith("ties") ? "odd-y.safetensors" : "odd-x.safetensors odd-y.safetensors";
      const found = await merged(`${models} --method ${method}`);
      expect([...found.keys()].sort()).toEqual(Object.keys(odd).sort());
      for (const { name, data, shape } of x!) {
        expect([name, found.get(name)!.shape]).toEqual([name, shape]);
        if (/counts|mask|inv_freq|empty/.test(name)) expect([name, found.get(name)!.data]).toEqual([name, data]);
        else expect([name, found.get(name)!.data]).not.toEqual([name, data]);
      }
    }
  });
});

describe("adapters", () => {
  for (const kind of ["basic", "dora"]) {
    test(`base+adapter is the merged model of ${kind}`, async () => {
      const { mergeOnCpu } = await import("../../src/checkpoint/adapter/adapter.ts");
      const { open } = await import("../../src/checkpoint/open.ts");
      const ref = `${TRAIN}/lora-base+${TRAIN}/lora-${kind}`;
      const found = await merged(`${ref} --method passthrough`);
      const checkpoint = await open(ref);
      let changed = 0;
      for (const [name, entry] of checkpoint.tensors) {
        const read = found.get(name)!;
        if (!entry.patch) {
          expect([name, read.data]).toEqual([name, await bytesOf(entry)]);
          continue;
        }
        changed++;
        const wanted = await mergeOnCpu(entry);
        expectWithin(read.floats, wanted, (i) => 1e-5 * (Math.abs(wanted[i]!) + 0.01), name);
      }
      checkpoint.close();
      expect(changed).toBeGreaterThan(3);
      const half = await merged(`${ref} ${TRAIN}/lora-base --method linear --weight 1`);
      for (const [name, read] of found) {
        const plain = readTensors(new Uint8Array(await Bun.file(`${TRAIN}/lora-base/model.safetensors`).arrayBuffer()));
        const other = plain.get(name)!.floats;
        expectWithin(
          half.get(name)!.floats,
          read.floats.map((x, i) => (x + other[i]!) / 2),
          () => 1e-5,
          name,
        );
      }
    });
  }

  test("a folder with a plus in its name is that folder", async () => {
    mkdirSync(join(folder, "x+y"));
    writeModel(join(folder, "x+y"), a!);
    writeFileSync(join(folder, "plus.yml"), "merge_method: passthrough\nmodels: [{model: {model: {path: ./x+y}}}]\n");
    for (const argv of ["x+y --method passthrough", "plus.yml"]) {
      const found = await merged(argv);
      for (const { name, data } of a!) expect([name, found.get(name)!.data]).toEqual([name, data]);
    }
  });
});

describe("remarks", () => {
  const write = (name: string, values: readonly number[], dtype: Dtype = "F32", tensor = "w") => {
    const data = encodeFloats(Float32Array.from(values), dtype);
    const shape = [values.length];
    writeModel(join(folder, `${name}.safetensors`), [{ name: tensor, dtype, shape, bytes: data.length, data }]);
  };
  const told = async (argv: string): Promise<string> => {
    const { code, err } = await merge(`${argv} -q`.split(" "), { cwd: folder });
    expect([argv, code]).toEqual([argv, 0]);
    return err;
  };

  test("values that become infinite in the type of the output", async () => {
    write("big1", [1, 6e4, -7e4, 0]);
    write("big2", [1, 8e4, -7e4, 0]);
    const both = "big1.safetensors big2.safetensors --method linear --weight 0.5";
    expect(await told(`${both} --out-dtype float16`)).toBe(
      "merge: warning: the result has values that are not finite, which no input has: w (2 infinities); float16 holds at most 65504: --out-dtype bfloat16 or float32 holds more\n",
    );
    expect(await told(both)).toBe("");
  });

  test("values of the inputs that are not finite, also where they are copied", async () => {
    write("fine", [1, 2, 3, 4], "BF16");
    write("odd", [1, Number.NaN, 1 / 0, 4], "BF16");
    expect(await told("fine.safetensors odd.safetensors --method linear --weight 0.5")).toBe(
      "merge: warning: odd.safetensors has values that are not finite: w (1 NaN, 1 infinity)\n",
    );
    expect(await told("odd.safetensors --method passthrough")).toBe(
      "merge: warning: odd.safetensors has values that are not finite: w (1 NaN, 1 infinity)\n",
    );
  });

  test("values of config.json that no model can have, from merge and inspect", async () => {
    const shape = [2, 2];
    const data = encodeFloats(Float32Array.of(1, 2, 3, 4), "F32");
    const tensors = [{ name: "w", dtype: "F32" as const, shape, bytes: data.length, data }];
    const config = { model_type: "llama", num_attention_heads: 0, hidden_size: 2.5, vocab_size: -1 };
    writeModel(join(folder, "odd-config"), tensors, { "config.json": config });
    const lines = ["hidden_size", "num_attention_heads", "vocab_size"].map(
      (key) => `${key} must be a positive whole number; it is ${config[key as keyof typeof config]}`,
    );
    const err = await told("odd-config --method passthrough");
    const inspected = await runScript("inspect", ["odd-config"], folder);
    for (const line of lines) {
      expect(err).toContain(`merge: warning: config.json of odd-config: ${line}\n`);
      expect(inspected.err).toContain(`inspect: warning: config.json: ${line}\n`);
    }
    expect(inspected.code).toBe(0);
  });

  test("values that a method drops, by model and tensor", async () => {
    write("base", [0, 0, 0, 0]);
    write("dull", [1, 2, 3, 4]);
    write("sharp", [1, Number.NaN, 5, -1 / 0]);
    const ties = (sharp: string) =>
      `dull.safetensors ${sharp} --base base.safetensors --method ties --weight 0.5 --density 0.5`;
    expect(await told(ties("sharp.safetensors"))).toContain(
      "merge: warning: sharp.safetensors has values that are not finite",
    );
    write("sharp", [1, Number.NaN, 5, 4]);
    expect(await told(ties("sharp.safetensors"))).toBe(
      "merge: warning: sharp.safetensors has values that are not finite, though the merged tensor is finite: w (1 NaN)\n",
    );
  });

  test("one value kept of tensors so small that a density keeps none", async () => {
    for (const [name, value] of Object.entries({ s1: 1, s2: 3, s3: 5 })) write(name, [value], "F32", "act.alpha");
    const ties = "s2.safetensors s3.safetensors --base s1.safetensors --method ties --weight 0.5 --density 0.5";
    expect(await told(ties)).toBe(
      "merge: warning: one value is kept, since its density keeps less than one: act.alpha\n",
    );
  });

  test("tensors that a model lacks are refused, and told where they are allowed", async () => {
    writeModel(
      join(folder, "less"),
      b!.filter(({ name }) => name !== UP1),
    );
    const { code, err } = await merge("a less --method linear --weight 0.5 -q".split(" "), { cwd: folder });
    expect([code, err]).toEqual([
      2,
      `merge: less lacks ${UP1}, which a has\n  hint: is it whole? --allow-missing makes such tensors from the models that have them\n`,
    ]);
    expect(await told("a less --method linear --weight 0.5 --allow-missing")).toBe(
      `merge: warning: less lacks it and is left out: ${UP1}\n`,
    );
  });

  test("copies of a tied embedding stay equal under random draws", async () => {
    const files = { "config.json": { model_type: "llama", num_hidden_layers: 2, tie_word_embeddings: true } };
    for (const [name, tensors] of Object.entries({ ta: a, tb: b, tbase: base })) {
      const table = tensors!.find((one) => one.name === "model.embed_tokens.weight")!;
      writeModel(
        join(folder, name),
        tensors!.map((one) => (one.name === "lm_head.weight" ? { ...table, name: one.name } : one)),
        files,
      );
    }
    const found = await merged("ta tb --base tbase --method dare_ties --density 0.5 --weight 0.5");
    const [head, table] = ["lm_head.weight", "model.embed_tokens.weight"].map((name) => found.get(name)!.floats);
    expect(head).toEqual(table!);
    const free = await merged("a b --base base --method dare_ties --density 0.5 --weight 0.5");
    expect(free.get("lm_head.weight")!.floats).not.toEqual(free.get("model.embed_tokens.weight")!.floats);
  });
});

test("experts in a stack and experts one by one are one model in two layouts", async () => {
  const files = { "config.json": { model_type: "qwen3_moe", num_hidden_layers: 1 } };
  const at = "model.layers.0.mlp.experts";
  const parts = ["gate_proj", "up_proj"].map((part) => [`${at}.0.${part}.weight`, [3, 8]] as const);
  const single: Shapes = Object.fromEntries([...parts, [`${at}.0.down_proj.weight`, [8, 3]]]);
  const apart = tensorsOf(single, 5);
  const stacked = tensorsOf({ [`${at}.gate_up_proj`]: [1, 6, 8], [`${at}.down_proj`]: [1, 8, 3] }, 6);
  writeModel(join(folder, "apart"), apart, files);
  writeModel(join(folder, "stacked"), stacked, files);
  for (const [order, weight] of [
    ["apart stacked", "0.25,0.75"],
    ["stacked apart", "0.75,0.25"],
  ]) {
    const found = await merged(`${order} --method linear --weight ${weight}`);
    expect([...found.keys()].sort()).toEqual(Object.keys(single).sort());
    const [gateUp, down] = stacked.map(floatsOf) as [Float32Array, Float32Array];
    const own = [gateUp.subarray(0, 24), gateUp.subarray(24), down];
    for (const [i, tensor] of apart.entries()) {
      const wanted = Float64Array.from(floatsOf(tensor), (value, k) => 0.25 * value + 0.75 * own[i]![k]!);
      expectWithin(found.get(tensor.name)!.floats, wanted, () => 1e-6, tensor.name);
    }
  }
});
