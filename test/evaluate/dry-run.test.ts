/** What `evaluate --dry-run` tells of memory is what the evaluation then takes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { open } from "../../src/checkpoint/open.ts";
import { plannedMemory } from "../../src/evaluate/dry-run.ts";
import { dryDevice } from "../../src/gpu/dry-device.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { ModelLoader } from "../../src/run/measuring/loaded-model.ts";
import { type BoundMetric, needsOf } from "../../src/run/measuring/metric.ts";
import { prepare } from "../../src/run/measuring/model-checks.ts";
import { readForScoring } from "../../src/run/scoring/read-rows.ts";
import { ownGpu, sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-evaluate-plan-"));
let checkpoint: Checkpoint;
const SIGNAL = new AbortController().signal;

beforeAll(async () => {
  const config = { ...TINY_TEXT.llama!, vocab_size: 264, hidden_size: 48, max_position_embeddings: 256 };
  const model = await Model.fresh(await sharedGpu(), config, "model", { seed: 1 });
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
  await saveModel(model, join(folder, "model/"), { files, lineage: [] });
  model.free();
  checkpoint = await open(join(folder, "model/"));
});
afterAll(() => {
  checkpoint.close();
  rmSync(folder, { recursive: true, force: true });
});

const loaderOn = (gpu: Gpu, metrics: readonly BoundMetric[], dtype: "keep" | "bf16") =>
  new ModelLoader({
    gpu,
    metrics,
    options: { tokenizer: "byte", dtype, batch_size: 4, max_tokens: 8 },
    signal: SIGNAL,
    progress: { start() {}, advance() {} },
    warn: () => {},
  });

test.each([
  ["losses", ["loss", "accuracy"], "keep"],
  ["losses of weights in bf16", ["loss"], "bf16"],
  ["answers", ["exact-match"], "keep"],
  ["gradients", ["mia-gradnorm"], "keep"],
] as const)("%s: the GPU's memory", async (_, names, dtype) => {
  const file = join(folder, "rows.jsonl");
  const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: `what is ${i + 10}?`, completion: ` it is ${i + 10}` }));
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const groups = [{ name: "rows", path: file }];
  const metrics = await Promise.all(names.map(async (name) => bindDefaults(await loadMethod("metric", name))));
  const needs = needsOf(metrics);
  const { device, gpu } = await ownGpu();
  const real = loaderOn(gpu, metrics, dtype);
  const reader = await prepare(checkpoint, metrics, { tokenizer: "byte" }, () => {});
  const data = await readForScoring(groups, reader, needs);

  const dry = new Gpu(dryDevice(device.adapter), false);
  const plan = await plannedMemory({
    gpu: dry,
    loader: loaderOn(dry, metrics, dtype),
    opened: [{ checkpoint, reader, bits: undefined, data }],
    needs,
    rows: 4,
    signal: SIGNAL,
    dumpTop: undefined,
    isLeast: false,
  });
  const loaded = await real.load(checkpoint, { reader });
  await loaded.score(groups, { data });
  // Of an answer the program that goes on by a token comes on top; it works in the memory of the first.
  const more = gpu.pool.peak - plan.gpu;
  expect(more).toBeGreaterThanOrEqual(0);
  expect(more).toBeLessThan(needs.has("generated") ? 0.1 * plan.gpu : 1);
  expect(plan.host).toBeGreaterThan(80 << 20);
  await loaded.free();
  gpu.close();
});
