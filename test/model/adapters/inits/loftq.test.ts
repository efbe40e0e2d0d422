/** LoftQ: how much of the rounding the adapter makes up for, and which base it goes with. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../../../src/checkpoint/decode.ts";
import { open, openPlain } from "../../../../src/checkpoint/open.ts";
import { parseFile } from "../../../../src/checkpoint/safetensors/header.ts";
import { collate } from "../../../../src/data/batch.ts";
import { bind } from "../../../../src/method/bind.ts";
import { fromFile } from "../../../../src/model/adapters/from-file.ts";
import { alternated, method } from "../../../../src/model/adapters/inits/loftq.ts";
import { loraChoice } from "../../../../src/model/adapters/lora/type.ts";
import { NF4, roundedToNf4 } from "../../../../src/model/adapters/nf4.ts";
import { Model } from "../../../../src/model/model.ts";
import { saveModel } from "../../../../src/model/save.ts";
import { bytesOf } from "../../../checkpoint/sample.ts";
import { runScript } from "../../../support/command.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { logitsOf } from "../../../support/logits.ts";
import { loraOf } from "../../../support/lora.ts";
import { normals } from "../../../support/random.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";

const GOLDEN = join(import.meta.dir, "../../../golden/quantized/bnb-nf4-nested");
const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-loftq-"));
afterAll(() => rmSync(made, { recursive: true }));

const away = (found: Float32Array, wanted: Float32Array) =>
  found.reduce((most, x, i) => Math.max(most, Math.abs(x - wanted[i]!)), 0);

test("NF4's values are those that bitsandbytes writes, and rounding to them is to the nearest of a block", async () => {
  const bytes = readFileSync(join(GOLDEN, "model.safetensors"));
  const { tensors, dataStart } = parseFile(bytes, "golden");
  const map = tensors.find(({ name }) => name.endsWith("down_proj.weight.quant_map"))!;
  const first = dataStart + map.begin;
  expect(decodeFloats(bytes.subarray(first, first + map.bytes), "F32")).toEqual(NF4);
  const written = (await open(GOLDEN)).tensors.get("model.layers.0.mlp.down_proj.weight")!;
  const held = decodeFloats(await bytesOf(written), written.dtype);
  expect(away(roundedToNf4(held), held)).toBe(0);
  const values = Float32Array.from({ length: 70 }, (_, i) => (i < 64 ? 2 * ((i % 9) / 8) - 1 : 0.01 * (i - 64)));
  const rounded = roundedToNf4(values);
  for (const [i, x] of rounded.entries()) {
    const most = i < 64 ? 1 : Math.fround(0.05);
    const near = Math.min(...[...NF4].map((code) => Math.abs(code * most - values[i]!)));
    expect(Math.abs(x - values[i]!)).toBeCloseTo(near, 6);
  }
  expect([...rounded.subarray(64)].map((x) => x === 0)).toEqual([true, false, false, false, false, false]);
  // What is rounded rounds to itself, so that a base of such values loads as it is.
  expect(roundedToNf4(rounded)).toEqual(rounded);
  expect([...roundedToNf4(new Float32Array(3))]).toEqual([0, 0, 0]);
});

test("the error is below that of rounding, and falls with the rounds and the rank", async () => {
  const [rows, columns] = [24, 32];
  const weight = { rows, columns, values: normals(5, rows * columns, 0.02) };
  const job = { weight, rank: 4, scale: 2, gpu, values: undefined };
  const plain = roundedToNf4(weight.values);
  const plainError = Math.hypot(...weight.values.map((x, i) => x - plain[i]!));
  const errors = [];
  for (const rounds of [1, 2, 5]) {
    const { a, b, rounded, error } = await alternated(job, rounds);
    // The error that it tells is that of Q + s B A.
    let sum = 0;
    for (let i = 0; i < rows * columns; i++) {
      const [o, c] = [Math.floor(i / columns), i % columns];
      let x = rounded[i]!;
      for (let k = 0; k < 4; k++) x += 2 * b!.values[o * 4 + k]! * a.values[k * columns + c]!;
      sum += (weight.values[i]! - x) ** 2;
    }
    expect(Math.sqrt(sum)).toBeCloseTo(error, 6);
    expect(roundedToNf4(rounded)).toEqual(rounded);
    errors.push(error);
  }
  expect((await alternated(job, 1)).rounded).toEqual(plain);
  expect(errors[0]!).toBeLessThan(0.95 * plainError);
  expect(errors[1]!).toBeLessThan(errors[0]!);
  expect(errors[2]!).toBeLessThan(errors[1]!);
  expect((await alternated({ ...job, rank: 24 }, 1)).error).toBeLessThan(1e-6);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 36, 0, 3);
const ROWS = collate([[{ ids: IDS, labels: IDS, group: 0, place: "" }]], { buckets: "none" });

test.each(["llama", "gpt2"])(
  "%s: a run trains on the rounded base, resumes on it, and the base that is written has it",
  async (name) => {
    const json = TINY_TEXT[name]!;
    const fresh = await Model.fresh(gpu, json, name, { seed: 4 });
    const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
    await saveModel(fresh, join(made, name), { files, lineage: [] });
    const plain = await logitsOf(gpu, fresh, ROWS);
    fresh.free();
    const base = await open(join(made, name));
    const begunAway = [];
    for (const loftq_rounds of [1, 3]) {
      const init = bind(method, { loftq_rounds, loftq_base: "written" });
      const choice = { ...loraChoice({ rank: 3, alpha: 6, seed: 1, base: "written" }), init };
      const model = await Model.load(gpu, base, { adapter: choice });
      const begun = await logitsOf(gpu, model, ROWS);
      begunAway.push(away(begun, plain));
      for (const [i, { b }] of [...loraOf(model).entries.values()].entries()) {
        const values = await gpu.readFloats(b.buffer, b.size);
        b.write(values.map((x, at) => x + normals(i, values.length, 0.1)[at]!));
      }
      const trained = await logitsOf(gpu, model, ROWS);
      const at = join(made, `${name}-${loftq_rounds}`);
      await saveModel(model, at, { files: new Map(), lineage: [] });
      await saveModel(model, `${at}-base`, { files, lineage: [], base: true, dtype: "held" });
      model.free();
      const config = JSON.parse(readFileSync(join(at, "adapter_config.json"), "utf8"));
      expect([config.base_model_name_or_path, config.r, config.init_lora_weights]).toEqual(["written", 3, true]);
      const file = await openPlain(at);
      const resumed = await Model.load(gpu, base, { adapter: await fromFile(choice, file) });
      expect(await logitsOf(gpu, resumed, ROWS)).toEqual(trained);
      resumed.free();
      // The written base is an ordinary model, with which the adapter is an ordinary adapter.
      const again = await Model.load(gpu, await open(`${at}-base+${at}`), {});
      expect(away(await logitsOf(gpu, again, ROWS), trained)).toBeLessThan(1e-4);
      again.free();
    }
    const rounded = await Model.load(gpu, base, {
      adapter: { ...loraChoice({ rank: 3, alpha: 6, seed: 1 }), init: bind(method, { loftq_rounds: 1 }) },
    });
    for (const { b } of loraOf(rounded).entries.values()) gpu.clear(b.buffer, 4 * b.size);
    const without = away(await logitsOf(gpu, rounded, ROWS), plain);
    rounded.free();
    expect(begunAway[0]!).toBeLessThan(without);
    expect(begunAway[1]!).toBeLessThan(without);
  },
);

test("train writes the rounded base, or says what the adapter is for", async () => {
  const words = Array.from({ length: 6 }, (_, i) => ({ x: [...normals(i, 4)], label: i % 2 }));
  await Bun.write(join(made, "rows.jsonl"), words.map((row) => JSON.stringify(row)).join("\n"));
  const net = { model_type: "mlp", input_size: 4, hidden_sizes: [6, 5], num_labels: 2 };
  await Bun.write(join(made, "net.json"), JSON.stringify(net));
  const train = (line: string) =>
    runScript("train", `${line} --data rows.jsonl --steps 2 --save-every 0`.split(" "), made);
  await train("--init net.json -o net");
  const lora = "net --lora --lora-rank 2 --adapter-init loftq";
  expect((await train(`${lora} -o plain`)).err).toContain("the adapter is for the base as bitsandbytes loads it");
  expect((await train(`${lora} --loftq-rounds 2 -o none`)).err).toContain("give --loftq-base DIR");
  for (const taken of ["net", "kept"])
    expect((await train(`${lora} --loftq-rounds 2 --loftq-base ${taken} -o kept`)).code).toBe(2);
  const { err } = await train(`${lora} --loftq-rounds 2 --loftq-base rounded -o kept`);
  expect(err).not.toContain("bitsandbytes");
  const merged = await open(`${join(made, "rounded")}+${join(made, "kept")}`);
  expect(merged.tensors.size).toBe((await open(join(made, "net"))).tensors.size);
}, 120_000);
