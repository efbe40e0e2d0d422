/** `train --precision`: what is measured is what the formats give, learned steps stay, and a scale of losses adapts. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { roundRows } from "../../src/checkpoint/numbers/quantize-rows.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();
const DATA = "--data llama-tied.jsonl --eval-data llama-tied.jsonl";
const KEPT = /embed|norm/;

/** Trains; gives the last line of its log, or what went wrong. */
async function trained(line: string): Promise<Record<string, number>> {
  const argv = `llama-tied ${DATA} --batch-size 2 --save-every 0 --json -q ${line}`.split(" ");
  const { code, err, text } = await run("train", argv);
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]); // it warns that rows are trained on that are held out
  return JSON.parse(text);
}

const lossOf = async (model: string): Promise<number> => {
  const argv = `${model} --data llama-tied.jsonl --metric loss --bootstrap 0 --json -q`.split(" ");
  return JSON.parse((await run("evaluate", argv)).text).rows[0].value;
};

test("held-out rows are measured with weights in the format", async () => {
  const found = await trained("--steps 1 --lr 1e-30 --precision weights=mxfp4 -o same/");
  const [model, mxfp4] = [await openPlain(at("llama-tied")), await loadMethod("number-format", "mxfp4")];
  const tensors = [...model.tensors.values()];
  const writer = await createWriter(at("rounded/"), { tensors, files: model.files, lineage: [] });
  for (const entry of tensors) {
    const values = await mergeOnCpu(entry);
    const [rows, columns] = [entry.shape[0]!, entry.shape[1]!];
    const rounded = KEPT.test(entry.name) ? values : roundRows(values, rows, columns, mxfp4);
    await writer.write(entry.name, encodeFloats(rounded, entry.dtype));
  }
  await writer.finish();
  model.close();
  expect(Math.abs(found.held_out_loss! - (await lossOf("rounded")))).toBeLessThan(1e-5);
  expect(Math.abs(found.held_out_loss! - (await lossOf("llama-tied")))).toBeGreaterThan(1e-3);
});

test("f32 is what there is without it, and every part changes the result", async () => {
  const line = "--steps 3 --lr 0.01 --seed 3 --overwrite";
  const plain = await trained(`${line} -o plain/`);
  expect(await trained(`${line} --precision f32 -o f32/`)).toEqual(plain);
  const losses = new Set<number>([plain.loss!]);
  for (const precision of ["weights=fp4-e2m1", "activations=int4", "gradients=fp4-e2m1", "fp8"]) {
    const { loss } = await trained(`${line} --precision ${precision} -o other/`);
    expect([precision, losses.has(loss!), Math.abs(loss! - plain.loss!) < 0.5]).toEqual([precision, false, true]);
    losses.add(loss!);
  }
});

test("learned steps: few values in every row of the result, which is what was measured", async () => {
  const line = `${DATA} --batch-size 2 --steps 4 --lr 0.01 --precision weights=int3-qat,activations=int8 --json -q`;
  const all = await run("train", `llama-tied ${line} --save-every 0 -o whole/`.split(" "));
  expect([all.code, all.code === 0 ? "" : all.err]).toEqual([0, ""]);
  expect(Math.abs(JSON.parse(all.text).held_out_loss - (await lossOf("whole")))).toBeLessThan(0.05);
  const result = await openPlain(at("whole"));
  for (const entry of result.tensors.values()) {
    if (KEPT.test(entry.name)) continue;
    const values = await mergeOnCpu(entry);
    const columns = entry.shape[1]!;
    for (let row = 0; row < entry.shape[0]!; row++) {
      const own = new Set(values.subarray(row * columns, (row + 1) * columns));
      expect([entry.name, own.size <= 7]).toEqual([entry.name, true]);
    }
  }
  result.close();
});

test("a step whose gradients overflow in f16 is skipped and halves the scale; good ones double it", async () => {
  const line = "--steps 12 --lr 1e-3 --clip 1 --precision gradients=f16 --loss-scale 1208925819614629174706176";
  await trained(`${line} --loss-scale-every 2 --log scale.log -o scaled/`);
  const events = readFileSync(at("scale.log"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const skips = events.filter(({ event }) => event === "skip");
  const steps = events.filter(({ event }) => event === "step");
  expect(skips.length).toBeGreaterThan(3);
  expect(skips.map(({ loss_scale }) => loss_scale)).toEqual(skips.map((_, k) => skips[0].loss_scale / 2 ** k));
  expect(steps.length).toBe(12 - skips.length);
  expect(steps.every(({ grad_norm }) => Number.isFinite(grad_norm))).toBeTrue();
  // A scale within range changes nothing but what f16 loses, and losses are those of f32.
  const scaled = await trained("--steps 3 --lr 1e-3 --precision gradients=f16 --overwrite -o scaled/");
  const plain = await trained("--steps 3 --lr 1e-3 --overwrite -o scaled/");
  expect(Math.abs(scaled.loss! - plain.loss!)).toBeLessThan(1e-3);
});

test.each([
  ["--precision fp9", "--precision: unknown number format fp9"],
  ["--precision nf4", "nf4 stores numbers and computes with none"],
  ["--precision weight=int8", "--precision weight=int8: weight=int8 says no part"],
  ["--precision weights=int8,weights=int4", "says weights twice"],
  ["--precision gradients=int8-qat", "--precision gradients=int8-qat: steps are learnt of weights alone"],
  ["--precision f16 --loss-scale 3", "--loss-scale 3 is no power of two"],
  ["--loss-scale 2", "--loss-scale has no effect without --precision"],
  ["--precision bf16 --dtype bf16", "--precision rounds weights that are held in f32"],
  ["--precision weights=int4-qat --lora", "learns the steps of weights, which an adapter leaves as they are"],
  ["--weight-rounding nearest", "--weight-rounding has no effect without --dtype bf16"],
])("%s is refused", async (line, said) => {
  const { code, err } = await run("train", `llama-tied ${DATA} --steps 1 ${line} -o none/`.split(" "));
  expect([code, err]).toEqual([2, expect.stringContaining(said)]);
});
