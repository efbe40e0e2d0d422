/** Times the stages of a layer of experts on this device: tokens come from the host, and experts compute. */
import { Random } from "../../data/random.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { silu } from "../../tensor/ops/activation.ts";
import { combine, dispatch, groupedLinear } from "../../tensor/ops/moe.ts";
import { route } from "../../tensor/ops/router.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";
import { median } from "./cost.ts";

export const STAGES = ["transfer", "experts"] as const;

export interface LayerSizes {
  readonly width: number;
  /** Hidden units of an expert. */
  readonly hidden: number;
  readonly experts: number;
  /** Experts of a token. */
  readonly top: number;
}

const drawn = (count: number, ...key: (string | number)[]) => {
  const random = new Random("moe cost", ...key);
  return Float32Array.from({ length: count }, () => random.normal());
};

/** Median seconds of `n` tokens in each stage, after one run that is not counted. */
export async function timeStages(gpu: Gpu, sizes: LayerSizes, n: number, repeats: number): Promise<number[]> {
  const { width, hidden, experts, top } = sizes;
  const up = new Parameter(gpu, "up", [experts, hidden, width], "f32", false);
  const down = new Parameter(gpu, "down", [experts, width, hidden], "f32", false);
  for (const weight of [up, down]) weight.write(drawn(experts * hidden * width, weight.name));
  const rec = new Recorder(profileOf(gpu), { training: false });
  const [x, logits] = [rec.input("x", [n, width]), rec.input("logits", [n, experts])];
  const { weights, plan } = route(rec, logits, { k: top, normalize: true });
  const inner = silu(rec, groupedLinear(rec, dispatch(rec, x, plan), rec.parameter(up), plan));
  rec.output("y", combine(rec, groupedLinear(rec, inner, rec.parameter(down), plan), weights, plan));
  const program = await Program.compile(gpu, rec);
  const values = drawn(n * width, "tokens", n);
  program.write("logits", drawn(n * experts, "logits", n));
  const { buffer, offset } = program.outputBuffer("y");
  const work = { transfer: () => program.write("x", values), experts: () => program.run() };
  const found: Record<keyof typeof work, number[]> = { transfer: [], experts: [] };
  for (let turn = 0; turn <= repeats; turn++)
    for (const stage of STAGES) {
      const began = performance.now();
      work[stage]();
      await gpu.readFloats(buffer, 1, offset); // waits for all that was submitted
      if (turn > 0) found[stage].push((performance.now() - began) / 1000);
    }
  program.free();
  for (const weight of [up, down]) weight.free();
  return STAGES.map((stage) => median(found[stage]));
}
