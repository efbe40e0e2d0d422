/**
 * `train s3t` and `unlearn s3t`: what is left of a bank after a deletion is, byte for byte, what training without the
 * row gives.
 */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { stackExamples } from "../../src/data/batch.ts";
import { bind } from "../../src/method/bind.ts";
import { orderFile } from "../../src/model/adapters/bank/bank.ts";
import { readManifest, stagePrefix } from "../../src/model/adapters/bank/manifest.ts";
import { LORA } from "../../src/model/adapters/lora/type.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Programs } from "../../src/run/programs.ts";
import { trainLab } from "../cli/train-lab.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();
const gpu = await sharedGpu();

const CLASSES = 3;
const ROWS = Array.from({ length: 24 }, (_, row) => ({
  x: Array.from(normals(70 + row, 16), (x) => Number(x.toFixed(4))),
  label: row % CLASSES,
}));
const GONE = 5;
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(at(name), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);

async function ok(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err, text } = await run(script, argv);
  expect([line, code, code === 0 ? "" : err]).toEqual([line, 0, ""]);
  return text;
}

async function refusal(line: string): Promise<string> {
  const [script = "", ...argv] = line.split(" ");
  const { code, err } = await run(script, argv);
  expect(code).toBe(2);
  return err;
}

/** Bytes of every tensor, and the manifest. */
async function bankOf(name: string) {
  const opened = await openPlain(at(name));
  const bytes = new Map<string, string>();
  for (const [key, entry] of opened.tensors) {
    const own = new Uint8Array(entry.bytes);
    await entry.read(own, 0);
    bytes.set(key, Buffer.from(own).toString("base64"));
  }
  const manifest = readManifest(opened);
  opened.close();
  return { bytes, manifest };
}

const SETTINGS = "--shards 2 --slices 2 --budget 2 --epochs 1 --batch-size 4 --lora-rank 2 --lr 1e-2";

beforeAll(async () => {
  const vit = {
    model_type: "vit",
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
  };
  const image = { image_size: 4, patch_size: 2, num_channels: 1, num_labels: CLASSES };
  writeFileSync(at("vit.json"), JSON.stringify({ ...vit, ...image }));
  write("all.jsonl", ROWS);
  write("gone.jsonl", [ROWS[GONE]]);
  write(
    "left.jsonl",
    ROWS.filter((_, row) => row !== GONE),
  );
  await ok("train --init vit.json --data all.jsonl --steps 1 -o vit/");
  await ok(`train s3t vit/ --data all.jsonl ${SETTINGS} --eval-data gone.jsonl --parts kept -o bank/`);
});

test("a deletion leaves the tensors of a bank that never saw the row, and is told by shard", async () => {
  expect(existsSync(at("kept"))).toBe(false);
  await ok(`train s3t vit/ --data left.jsonl ${SETTINGS} --eval-data gone.jsonl -o never/`);
  const told = JSON.parse(await ok("unlearn s3t bank/ --forget gone.jsonl -o deleted/ --json"));
  const [before, after, never] = [await bankOf("bank"), await bankOf("deleted"), await bankOf("never")];
  const stages = after.manifest.orders.map((order) => order.stages);
  expect(told).toMatchObject({ deleted: 1, rows: 23, spent: 0 });
  expect(told.stages.toSorted()).toEqual([1, 2]);
  // Of the shard's two orders one ends before its first slice, the other after it.
  expect(stages.toSorted()).toEqual([0, 1, 2, 2]);
  for (const part of ["rows", "places"]) expect(after.bytes.get(part)).toBe(never.bytes.get(part)!);
  let compared = 0;
  for (const [order, count] of stages.entries())
    for (let stage = 1; stage <= 2; stage++) {
      const names = [...before.bytes.keys()].filter((name) => name.startsWith(stagePrefix(order, stage)));
      expect(names.length).toBeGreaterThan(4);
      for (const name of names) {
        expect([name, after.bytes.get(name)]).toEqual([name, stage <= count ? never.bytes.get(name) : undefined]);
        compared += stage <= count ? 1 : 0;
      }
      // A stage that saw the row is another without it: the comparison can fail.
      if (stage > count) expect(names.some((name) => before.bytes.get(name) !== never.bytes.get(name))).toBe(true);
    }
  expect(compared).toBeGreaterThan(20);
  expect(after.manifest.orders.map(({ losses }) => losses.length)).toEqual([2, 2, 2, 2]);
});

test("stages train their own group of layers alone, and the head", async () => {
  const { bytes } = await bankOf("bank");
  const names = (stage: number) => [...bytes.keys()].filter((name) => name.startsWith(stagePrefix(0, stage)));
  expect(names(1).some((name) => name.includes("layer.1."))).toBe(true);
  expect(names(1).some((name) => name.includes("layer.0."))).toBe(false);
  expect(names(2).some((name) => name.includes("layer.0."))).toBe(true);
  expect(names(2).some((name) => name.includes("layer.1."))).toBe(false);
  for (const stage of [1, 2]) expect(names(stage).filter((name) => name.includes("classifier"))).toHaveLength(2);
});

test("shards answer with the mean of their probabilities", async () => {
  const batch = stackExamples(
    ROWS.slice(0, 4).map(({ x, label }) => ({ x: Float32Array.from(x), shape: [1, 4, 4], label })),
  );
  const logitsOf = async (model: Model): Promise<number[]> => {
    const programs = new Programs(gpu);
    const { program } = await programs.get("logits", (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      rec.output("logits", head(hidden));
    });
    fillInputs(program, batch);
    program.run();
    const found = [...(await program.read("logits"))];
    programs.free();
    model.free();
    return found;
  };
  const softmax = (z: readonly number[]) => {
    const e = z.map(Math.exp);
    const sum = e.reduce((a, b) => a + b, 0);
    return e.map((x) => x / sum);
  };
  const base = await open(at("vit"));
  const bank = await openPlain(at("bank"));
  const manifest = readManifest(bank);
  const whole = await open(`${at("vit")}+${at("bank")}`, { live: true });
  const together = await logitsOf(await Model.load(gpu, whole));
  // With held-out losses the better of two whole orders answers.
  const best = [0, 1].map((shard) => {
    const own = manifest.orders.map((order, i) => ({ ...order, i })).filter((order) => order.shard === shard);
    return own.toSorted((a, b) => a.losses[1]! - b.losses[1]!)[0]!.i;
  });
  const each: number[][] = [];
  for (const order of best) {
    const adapter = { type: bind(LORA, {}), from: orderFile(bank, manifest, order), seed: 0 };
    each.push(await logitsOf(await Model.load(gpu, base, { adapter })));
  }
  for (let row = 0; row < 4; row++) {
    const part = (z: readonly number[]) => z.slice(row * CLASSES, (row + 1) * CLASSES);
    const [a, b] = each.map((z) => softmax(part(z)));
    const mean = a!.map((p, c) => (p + b![c]!) / 2);
    for (const [c, p] of softmax(part(together)).entries()) expect(p).toBeCloseTo(mean[c]!, 5);
  }
  expect(each[0]).not.toEqual(each[1]!);
  for (const opened of [base, bank, whole]) opened.close();
  await ok("evaluate vit/+bank/ --data all.jsonl --metric loss,class-accuracy --json");
});

test("refuses rows that the bank never learnt, and banks that have no order left", async () => {
  write("new.jsonl", [{ x: ROWS[0]!.x, label: 2 }]);
  expect(await refusal("unlearn s3t bank/ --forget new.jsonl -o no/")).toContain("the bank never learnt this row");
  expect(await refusal("unlearn s3t vit/ --forget gone.jsonl -o no/")).toContain("vit/ is no bank of shards");
  await ok("unlearn s3t bank/ --forget all.jsonl -o spent/");
  expect(await refusal("evaluate vit/+spent/ --data all.jsonl")).toContain("its capacity for deletions is spent");
  expect(await refusal(`train s3t vit/ --data all.jsonl --slices 3 -o no/`)).toContain(
    "which are no 3 groups of one size",
  );
  expect(await refusal(`train s3t vit/ --data all.jsonl --slices 2 --budget 3 -o no/`)).toContain("--budget 3");
});

test("what was kept of an interrupted run is not trained again", async () => {
  const { KeptRuns } = await import("../../src/run/kept-runs.ts");
  const kept = KeptRuns.open(at("runs"), "--parts", { a: 1 });
  const tensors = [{ name: "w", shape: [2], values: Float32Array.of(1, 2) }];
  expect(await kept.get("first")).toBeUndefined();
  await kept.put("first", tensors);
  expect(await KeptRuns.open(at("runs"), "--parts", { a: 1 }).get("first")).toEqual(tensors);
  expect(() => KeptRuns.open(at("runs"), "--parts", { a: 2 })).toThrow("parts of a run with other settings");
  kept.remove();
  expect(existsSync(at("runs"))).toBe(false);
});

describe("a language model with slices by group", () => {
  test("writes with all shards, each with a cache of its own", async () => {
    writeFileSync(at("llama.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264 }));
    const texts = (from: number) =>
      Array.from({ length: 6 }, (_, i) => ({ prompt: `${from + i}`, completion: ` ${"abc"[i % 3]}${from}`.repeat(3) }));
    write("one.jsonl", texts(0));
    write("two.jsonl", texts(10));
    await ok("train --init llama.json --tokenizer byte --data one.jsonl --steps 60 --batch-size 6 --lr 2e-2 -o llama/");
    const layers = TINY_TEXT.llama!.num_hidden_layers;
    const data = "--data one.jsonl --data two.jsonl --slice-by group";
    expect(layers).toBe(2);
    await ok(`train s3t llama/ ${data} --shards 2 --epochs 2 --batch-size 4 --lora-rank 2 --lr 3e-2 -o texts/`);
    const said = JSON.parse(await ok("sample llama/+texts/ 3 --max-tokens 6 --json"));
    expect(said.text).toMatch(/^[ -~]{6}$/);
    write("said.jsonl", [{ prompt: "3", completion: said.text }]);
    const found = JSON.parse(await ok("evaluate llama/+texts/ --data said.jsonl --metric exact-memorisation --json"));
    expect(JSON.stringify(found)).toContain('"exact-memorisation":1,');
  });
});
