/** Three adapters of which one is wanted: who is trained in a step, what weighs more, and what is left at the end. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Batch, collate } from "../../../src/data/batch.ts";
import { Random } from "../../../src/data/random.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { adapterStages } from "../../../src/run/training/rules/adapter-stages.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-triplet-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ROWS = [
  [1, 5, 7, 2, 9, 36],
  [4, 8, 15, 16, 23, 30],
].map((row, i) => ({ ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` }));
const BATCH = collate(ROWS.map((row) => [row]));

const adapted = async (name: string, values: Record<string, unknown>, targets?: readonly string[]) =>
  Model.fresh(gpu, TINY_TEXT.llama!, "llama", {
    seed: 4,
    adapter: {
      type: bindDefaults(await loadMethod("adapter", name), values),
      seed: 1,
      ...(targets ? { targets } : {}),
    },
  });

const triplet = (values = {}) => adapted("lora-triplet", { adapter_rank: 2, triplet_nuisance: 2, ...values });

const trainerOf = (model: Model) =>
  Trainer.make<Batch>({
    ...{ gpu, parameters: model.trainable(), objective: crossEntropyObjective(model), seed: 1, clip: 0 },
    ...{ optimizer: bindDefaults(adamw), decays: () => true },
    updates: adapterStages(model, undefined, 6, 1),
  });

const saved = async (model: Model, name: string) => {
  const target = join(folder, name);
  await saveModel(model, target, { files: new Map(), lineage: [] });
  return {
    tensors: await tensorsOf(target),
    config: JSON.parse(readFileSync(join(target, "adapter_config.json"), "utf8")),
  };
};

test("a nuisance of rank 0 is LoRA of queries and keys, bit for bit", async () => {
  const own = await triplet({ triplet_nuisance: 0 });
  const lora = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", {
    ...{ seed: 4, lora: { rank: 2, alpha: 8, targets: ["q_proj", "k_proj"], seed: 1 } },
  });
  for (const model of [own, lora]) {
    const trainer = await trainerOf(model);
    for (let step = 1; step <= 3; step++) await (await trainer.step(step, 0.01, [BATCH])).result;
    trainer.free();
  }
  const [a, b] = [await saved(own, "own"), await saved(lora, "lora")];
  expect(a.tensors).toEqual(b.tensors);
  expect([a.config.peft_type, a.config.r, a.config.lora_alpha]).toEqual(["LORA", 2, 8]);
  expect(await logitsOf(gpu, own, BATCH)).toEqual(await logitsOf(gpu, lora, BATCH));
  for (const model of [own, lora]) model.free();
});

test("each step trains one of the three; the nuisances are in training alone, and not in the result", async () => {
  const model = await triplet();
  const trainer = await trainerOf(model);
  const base = await logitsOf(gpu, model, BATCH);
  const kinds = ["lora_", "first_", "second_"];
  const read = async () =>
    new Map(
      await Promise.all(
        model.trainable().map(async ({ name, buffer, size }) => [name, await gpu.readFloats(buffer, size)] as const),
      ),
    );
  let before = await read();
  const seen = new Set<number>();
  for (let step = 1; step <= 9; step++) {
    await (await trainer.step(step, 0.01, [BATCH])).result;
    const now = await read();
    const moved = kinds.flatMap((kind, k) =>
      [...now].some(([name, values]) => name.includes(kind) && values.some((x, i) => x !== before.get(name)![i]))
        ? [k]
        : [],
    );
    expect(moved).toEqual([new Random(1, "stage of a step", step).below(3)]);
    seen.add(moved[0]!);
    before = now;
  }
  expect(seen.size).toBe(3);
  const { tensors, config } = await saved(model, "triplet");
  expect([...tensors.keys()].every((name) => /self_attn\.[qk]_proj\.lora_[AB]\.weight$/.test(name))).toBe(true);
  expect(config.target_modules.every((name: string) => /[qk]_proj$/.test(name))).toBe(true);
  // Without the wanted one a model that is asked is the base, whatever the nuisances have learnt.
  for (const parameter of model.trainable())
    if (parameter.name.includes("lora_B")) parameter.write(new Float32Array(parameter.size));
  expect(await logitsOf(gpu, model, BATCH)).toEqual(base);
  trainer.free();
  model.free();
});

test("tokens with the mark of the adapter that is trained weigh more", async () => {
  const model = await triplet({ triplet_focus: 3 });
  const objective = crossEntropyObjective(model);
  const marks = [0, 1, 2, 1, 0, 3];
  const marked = collate([[{ ...ROWS[0]!, marks: Int32Array.from(marks) }], [ROWS[1]!]]);
  const rec = new Recorder(profileOf(gpu));
  rec.output("loss", objective.record(rec, marked, "").metrics.loss!);
  const program = await Program.compile(gpu, rec);
  const lossIn = async (stage: number, batch: Batch) => {
    model.adapter!.stages!.current = stage;
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0 });
    return (await program.read("loss"))[0]!;
  };
  // The loss of each token of the first row, from weights in which it alone counts.
  const plain = await lossIn(1, BATCH);
  const losses: number[] = [];
  for (let at = 1; at < 6; at++) {
    const labels = Int32Array.from(ROWS[0]!.ids, (id, i) => (i === at ? id : -100));
    const alone = collate([[{ ...ROWS[0]!, labels }], [{ ...ROWS[1]!, labels: new Int32Array(6).fill(-100) }]]);
    losses[at] = await lossIn(1, alone);
  }
  for (const stage of [1, 2, 3]) {
    const more = marks.reduce((sum, mark, at) => sum + (mark === stage ? (2 * losses[at]!) / 10 : 0), 0);
    expect(await lossIn(stage, marked)).toBeCloseTo(plain + more, 4);
  }
  program.free();
  model.free();
});
