/**
 * Time of a training step (forward, backward, AdamW) under every type of adapter beside LoRA of the same rank, on a
 * small Llama; then all of them by mitata.
 *
 *   bun test/bench/adapters.bench.ts [--device NAME] [--rank R] [--turns N] [--quick]
 *
 * Hidden 256, 4 layers, vocabulary 512, 2 rows of 64 tokens. Each type and LoRA take turns, since the speed of a shared
 * machine drifts, and the least of each is compared. Types without a rank have their defaults, and all of them the
 * modules that LoRA adapts, but for those that take none or fewer. `--quick` leaves mitata out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bench, run } from "mitata";
import { open } from "../../src/checkpoint/open.ts";
import { UserError } from "../../src/errors.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { bind, bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import type { AdapterType } from "../../src/model/adapters/contract.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { StepScales } from "../../src/run/training/rules/step-scales.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { option, rowsOf, SMALL_DECODER } from "./small-decoder.ts";

const RANK = Number(option("--rank") ?? 16);
const TURNS = Number(option("--turns") ?? 8);
const [ROWS, LENGTH] = [2, 64];

const batch = rowsOf(ROWS, LENGTH);

const gpu = await openGpu({ device: option("--device") });
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-"));
const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(SMALL_DECODER))]]);
await saveModel(await Model.fresh(gpu, SMALL_DECODER, "bench", { seed: 0 }), `${folder}/`, { files, lineage: [] });
const base = await open(folder);

/** A type with the rank, and with what else it cannot do without. */
function bound(type: AdapterType) {
  if (type.peftType === "LORA")
    return bind(type, Object.assign({}, bindDefaults(type).values, { rank: RANK, alpha: RANK }));
  const given = { adapter_rank: RANK, hydra_parallel: RANK / 2, hydra_sequential: RANK / 2, bottleneck: RANK };
  return bindDefaults(type, { ...given, ...("poly_tasks" in type.options ? { poly_tasks: 1 } : {}) });
}

interface Timed {
  readonly name: string;
  readonly trained: number;
  step(): Promise<void>;
}

/** The model under a type: on every linear layer, or on the type's own choice where it does not take them all. */
async function adapted(type: AdapterType): Promise<Model> {
  const choice = { type: bound(type), seed: 0 };
  try {
    return await Model.load(gpu, base, { adapter: { ...choice, targets: ["all-linear"] } });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return Model.load(gpu, base, { adapter: choice });
  }
}

async function timed(type: AdapterType): Promise<Timed> {
  const model = await adapted(type);
  const asked = model.adapter?.stepScales?.() ?? [];
  const trainer = await Trainer.make({
    gpu,
    parameters: model.trainable(),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(optimizer),
    decays: () => true,
    clip: 1,
    seed: 0,
    updates: asked.length > 0 ? [new StepScales(gpu, asked, 0)] : [],
  });
  let step = 0;
  return {
    name: type.name,
    trained: model.parameterCount().trainable,
    step: async () => void (await (await trainer.step(++step, 1e-3, [batch])).result),
  };
}

const types = await loadMethods("adapter");
const all = new Map<string, Timed>();
for (const type of types) all.set(type.name, await timed(type));
const lora = all.get("lora")!;
for (const { step } of all.values()) await step(); // compiles

const lines: string[] = [];
for (const { name, trained, step } of all.values()) {
  const least = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let turn = 0; turn < TURNS; turn++)
    for (const [at, one] of [lora.step, step].entries()) {
      const began = performance.now();
      await one();
      least[at] = Math.min(least[at]!, performance.now() - began);
    }
  const [plain, own] = least as [number, number];
  lines.push(
    `${name.padEnd(12)} ${own.toFixed(1).padStart(8)} ms  ${(own / plain).toFixed(2)} x LoRA  ${trained.toLocaleString("en-US").padStart(9)} trained`,
  );
}
console.log(lines.join("\n"));

if (!process.argv.includes("--quick")) {
  for (const { name, step } of all.values()) bench(name, step);
  await run();
}
rmSync(folder, { recursive: true });
gpu.close();
