/** What a model says. */
import type { Batch } from "../../src/data/batch.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";

/** The logits of a model on a batch, (B, T, V). */
export async function logitsOf(gpu: Gpu, model: Model, batch: Batch): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = (await program.read("logits")) as Float32Array;
  program.free();
  return logits;
}
