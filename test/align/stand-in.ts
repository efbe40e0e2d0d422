/** A model that says what it is told: logits of every position, which take a gradient. */
import type { TokenBatch } from "../../src/data/batch.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Model } from "../../src/model/model.ts";
import type { Objective } from "../../src/run/training/objective.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** The loss of a batch of one step and its gradient to the logits (N, V), by what an objective records. */
export async function lossOfLogits<B>(
  gpu: Gpu,
  given: {
    readonly logits: Float32Array;
    readonly width: number;
    readonly batch: B;
    readonly tokens: TokenBatch;
    readonly objective: (model: Model) => Objective<B>;
    /** Items that the step counts; those of the batch when left out. */
    readonly total?: number;
    /** Numbers of the step. */
    readonly values?: Readonly<Record<string, number>>;
  },
): Promise<{ readonly metrics: Record<string, number>; readonly gradient: Float32Array }> {
  const { logits, width, batch, tokens } = given;
  const n = tokens.rows * tokens.length;
  const rec = new Recorder(profileOf(gpu), { training: true });
  let said: Tensor | undefined;
  const model = {
    task: "causal-lm",
    sizes: { outputs: width },
    record(own: Recorder) {
      said ??= own.watched(own.input("said", [n, width]));
      return { hidden: said, head: (x: Tensor) => x };
    },
  } as unknown as Model;
  const objective = given.objective(model);
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(`metric ${name}`, value);
  rec.backward(backward);
  const incoming = rec.incoming(said!);
  if (incoming) rec.output("gradient", incoming);
  const program = await Program.compile(gpu, rec);
  try {
    program.write("said", logits);
    objective.fill(program, batch, given.total ?? objective.counted(batch, ""), "");
    program.run({ accumulate: 0, ...given.values });
    const found: Record<string, number> = {};
    for (const name of Object.keys(metrics)) found[name] = ((await program.read(`metric ${name}`)) as Float32Array)[0]!;
    const gradient = incoming ? ((await program.read("gradient")) as Float32Array) : new Float32Array(n * width);
    return { metrics: objective.report?.(found, [batch]) ?? found, gradient };
  } finally {
    program.free();
  }
}
