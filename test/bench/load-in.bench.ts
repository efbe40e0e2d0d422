/**
 * Time of a training step of LoRA (forward, backward, AdamW) and of a decoded token on a base that is held in f32, in
 * bf16, in NF4 and in integers of 8 bits, and the memory of its weights.
 *
 *   bun test/bench/load-in.bench.ts [--device NAME] [--turns N] [--rank R]
 *
 * Hidden 512, 4 layers, vocabulary 512, 4 rows of 128 tokens. The bases take turns, since the speed of a shared machine
 * drifts, and the least of each is compared; `--processor` counts the processor's time in place of the clock's, which
 * says more of a software driver on a machine with other work.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { bind } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import type { ModelOptions } from "../../src/model/model-options.ts";
import { saveModel } from "../../src/model/save.ts";
import { Decoder } from "../../src/run/generating/decoder.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { option, rowsOf, SMALL_DECODER } from "./small-decoder.ts";

const TURNS = Number(option("--turns") ?? 6);
const RANK = Number(option("--rank") ?? 8);
const PROCESSOR = process.argv.includes("--processor");
const TOKENS = 16;
const LARGER = { ...SMALL_DECODER, hidden_size: 512, intermediate_size: 1408 };

const batch = rowsOf(4, 128);
const gpu = await openGpu({ device: option("--device") });
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-"));
const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(LARGER))]]);
const fresh = await Model.fresh(gpu, LARGER, "bench", { seed: 0 });
await saveModel(fresh, `${folder}/`, { files, lineage: [], dtype: "BF16" });
fresh.free();
const base = await open(folder);

const HELD: Readonly<Record<string, Pick<ModelOptions, "dtype" | "loadIn">>> = {
  f32: { dtype: "f32" },
  bf16: { dtype: "bf16" },
  "4bit": { loadIn: "4bit" },
  "8bit": { loadIn: "8bit" },
};

async function timed(name: string) {
  const lora = { rank: RANK, alpha: RANK, targets: ["all-linear"], seed: 0 };
  const model = await Model.load(gpu, base, { ...HELD[name], lora });
  const trainer = await Trainer.make({
    ...{ gpu, parameters: model.trainable(), objective: crossEntropyObjective(model), seed: 0, clip: 1 },
    optimizer: bind(optimizer, { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }),
    decays: () => true,
  });
  const decoder = new Decoder(model, "bench");
  const weights = [...model.parameters.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const matrices = [...model.parameters.values()].filter(({ isHidden }) => isHidden);
  const bits = (8 * matrices.reduce((sum, { bytes }) => sum + bytes, 0)) / matrices.reduce((sum, p) => sum + p.size, 0);
  let step = 0;
  const seconds = async (work: () => Promise<unknown>) => {
    const [began, before] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(before);
    return PROCESSOR ? (user + system) / 1e6 : (performance.now() - began) / 1000;
  };
  return {
    ...{ name, weights, bits, least: Number.POSITIVE_INFINITY, token: Number.POSITIVE_INFINITY },
    step: () => seconds(async () => (await trainer.step(++step, 1e-3, [batch])).result),
    async decode() {
      await decoder.read([[1, 2, 3]], { most: TOKENS + 8, names: ["bench"] });
      const all = await seconds(async () => {
        for (let i = 1; i <= TOKENS; i++) await decoder.next([[1, 2, 3, ...new Array(i).fill(5)]], new Set([0]));
      });
      return all / TOKENS;
    },
  };
}

const all = await Promise.all(Object.keys(HELD).map(timed));
for (const one of all) await one.step(); // compiles
for (let turn = 0; turn < TURNS; turn++)
  for (const one of all) {
    one.least = Math.min(one.least, await one.step());
    one.token = Math.min(one.token, await one.decode());
  }
const bf16 = all.find(({ name }) => name === "bf16")!;
for (const { name, weights, bits, least, token } of all)
  process.stdout.write(
    `${name.padEnd(5)} ${(weights / 1e6).toFixed(1)} MB, ${bits.toFixed(2)} bits a weight of layers, step ${least.toFixed(3)} s (${(least / bf16.least).toFixed(2)} of bf16), token ${(1000 * token).toFixed(1)} ms (${(token / bf16.token).toFixed(2)})\n`,
  );
base.close();
rmSync(folder, { recursive: true });
process.exit(0);
