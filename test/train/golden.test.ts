/**
 * Logits, loss, gradients and the parameters after three AdamW steps, against Hugging Face models under PyTorch, through the
 * same model, objective and trainer that `train` uses.
 */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Checkpoint } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import { Model, type ModelOptions } from "../../src/model/model.ts";
import { savedInfos } from "../../src/model/save.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import type { Optimizer } from "../../src/run/training/optimizer.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import type { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../support/gpu.ts";

const gpu = await sharedGpu();
const FOLDER = fileURLToPath(new URL("../golden/train/", import.meta.url));

interface Case {
  base?: string;
  batches: { input_ids: number[][]; labels: number[][] }[];
  optimizer: { lr: number; beta1: number; beta2: number; eps: number; weight_decay: number };
  expected_losses: number[];
  tolerance: {
    logits_rel_to_max: number;
    loss_abs: number;
    grad_rel_to_tensor_max: number;
    "after3_abs_for_99.9_percent": number;
    after3_abs_worst: number;
  };
}

async function expectedTensors(file: string): Promise<Map<string, Float32Array>> {
  const opened = await openPlain(file);
  const found = new Map<string, Float32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, decodeFloats(bytes, entry.dtype));
  }
  opened.close();
  return found;
}

/** The name a parameter's tensor has in the checkpoint that it was read from. */
function namesOf(model: Model): Map<string, Parameter> {
  if (model.adapter) return new Map(model.adapter.parameters().map((p) => [p.name, p]));
  return new Map(model.stored.map(({ name, parameter }) => [name, parameter]));
}

const CASES: Record<string, ModelOptions> = {
  "llama-untied": {},
  "llama-tied": {},
  qwen2: {},
  gpt2: {},
  "lora-basic": { lora: { rank: 4, alpha: 8, targets: "all-linear", seed: 0 } },
  "lora-dora": { lora: { rank: 4, alpha: 8, targets: "all-linear", seed: 0 } },
};

describe.each(Object.keys(CASES))("%s", (name) => {
  test.each([false, true])(
    "logits, loss, gradients and three steps of AdamW; activations computed anew: %p",
    async (recompute) => {
      const golden: Case = JSON.parse(readFileSync(`${FOLDER}${name}/case.json`, "utf8"));
      const expected = await expectedTensors(`${FOLDER}${name}/expected.safetensors`);
      const { tolerance, optimizer } = golden;
      const options = CASES[name]!;
      const base = await openPlain(golden.base === undefined ? `${FOLDER}${name}` : `${FOLDER}${name}/${golden.base}`);
      const adapter: Checkpoint | undefined = options.lora ? await openPlain(`${FOLDER}${name}`) : undefined;
      const model = await Model.load(
        gpu,
        base,
        options.lora ? { lora: { ...options.lora, from: adapter! } } : { dtype: "f32" },
      );

      const batches = golden.batches.map(({ input_ids, labels }) =>
        collate(
          input_ids.map((ids, row) => [
            { ids: Int32Array.from(ids), labels: Int32Array.from(labels[row]!), group: 0, place: `row ${row}` },
          ]),
          { buckets: "none" },
        ),
      );

      const rec = new Recorder(profileOf(gpu), { training: false });
      const { hidden, head } = model.record(rec, recordInputs(rec, batches[0]!));
      rec.output("logits", head(hidden));
      const forward = await Program.compile(gpu, rec);
      fillInputs(forward, batches[0]!);
      forward.run();
      const relative = (got: Float32Array, wanted: Float32Array) => {
        expect(got.length).toBe(wanted.length);
        const most = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        return got.reduce((a, b, i) => Math.max(a, Math.abs(b - wanted[i]!)), 0) / most;
      };
      expect(relative(await forward.read("logits"), expected.get("logits")!)).toBeLessThan(tolerance.logits_rel_to_max);
      forward.free();

      const trainer = await Trainer.make({
        gpu,
        parameters: model.trainable(),
        objective: crossEntropyObjective(model, { recompute }),
        optimizer: adamw as unknown as Optimizer,
        values: optimizer,
        decays: () => true,
        clip: 0,
        seed: 0,
      });
      const tensors = namesOf(model);
      for (const [i, batch] of batches.entries()) {
        const { result } = await trainer.step(i + 1, optimizer.lr, [batch]);
        expect(Math.abs((await result).metrics.loss! - golden.expected_losses[i]!)).toBeLessThan(tolerance.loss_abs);
        if (i > 0) continue;
        for (const [tensor, parameter] of tensors) {
          const wanted = expected.get(`grad.${tensor}`)!;
          const error = relative(await gpu.readFloats(parameter.gradient, parameter.size), wanted);
          if (!(error < tolerance.grad_rel_to_tensor_max)) throw new Error(`gradient of ${tensor} is off by ${error}`);
        }
      }
      let [beyond, count, worst] = [0, 0, 0];
      for (const [tensor, parameter] of tensors) {
        const wanted = expected.get(`after3.${tensor}`)!;
        const got = await gpu.readFloats(parameter.buffer, parameter.size);
        for (const [i, x] of got.entries()) {
          const error = Math.abs(x - wanted[i]!);
          worst = Math.max(worst, error);
          count++;
          if (error > tolerance["after3_abs_for_99.9_percent"]) beyond++;
        }
      }
      expect(beyond / count).toBeLessThanOrEqual(0.001);
      expect(worst).toBeLessThanOrEqual(tolerance.after3_abs_worst);
      expect(tensors.size).toBe([...expected.keys()].filter((key) => key.startsWith("after3.")).length);

      // What would be saved has exactly the names and shapes of the checkpoint it came from.
      const source = adapter ?? base;
      const saved = savedInfos(model).map(({ name, dtype, shape }) => [name, dtype, shape.join()]);
      const original = [...source.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape.join()]);
      expect(saved.sort()).toEqual(original.sort());
      trainer.free();
      model.free();
      base.close();
      adapter?.close();
    },
    60_000,
  );
});
