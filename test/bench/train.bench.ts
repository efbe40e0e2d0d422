/**
 * One training step (forward, backward, AdamW) of a small Llama: its time, beside the sum of its kernels' times; its
 * memory, beside what must be alive.
 *
 *   bun test/bench/train.bench.ts [--device NAME] [--steps N]
 *
 * Hidden 256, 4 layers, 8 heads, vocabulary 512, 8 rows of 128 tokens. Plain and timed runs take turns, since the speed
 * of a shared machine drifts; the least of each is compared. PyTorch's CPU build takes 0.20 s for the same step on two
 * cores.
 */

import { openDevice } from "../../src/gpu/device.ts";
import { Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { memoryReport } from "../../src/run/training/memory-report.ts";
import { option, rowsOf } from "./small-decoder.ts";
import { trainerOn } from "./small-training.ts";

const STEPS = Number(option("--steps") ?? 5);
const [ROWS, LENGTH] = [8, 128];

const batch = rowsOf(ROWS, LENGTH);

const device = option("--device");
const plain = await openGpu({ device });
const timed = new Gpu(await openDevice(device), true);
const { model, trainer } = await trainerOn(plain);
const profiled = await trainerOn(timed);
let step = 0;
const run = async (which: typeof trainer): Promise<number> => {
  const began = performance.now();
  await (await which.step(++step, 1e-3, [batch])).result;
  return (performance.now() - began) / 1000;
};
const kernelSeconds = async () => (await timed.timer!.times()).reduce((sum, { seconds }) => sum + seconds, 0);

await run(trainer); // compiles
await run(profiled.trainer);
let least = Number.POSITIVE_INFINITY;
let kernels = Number.POSITIVE_INFINITY;
for (let i = 0; i < STEPS; i++) {
  least = Math.min(least, await run(trainer));
  const before = await kernelSeconds();
  await run(profiled.trainer);
  kernels = Math.min(kernels, (await kernelSeconds()) - before);
}
const programs = await trainer.prepare(batch);
const program = programs[0]!;
const { total } = model.parameterCount();
const tokens = ROWS * LENGTH;
const memory = memoryReport(model, trainer, programs, model.trainable());
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const lines = [
  `${plain.adapter.description || plain.adapter.device}, ${total.toLocaleString("en-US")} parameters, ${tokens} tokens a step`,
  `step                ${least.toFixed(3)} s, ${Math.round(tokens / least)} tokens/s, ${((6 * total * tokens) / least / 1e9).toFixed(1)} GFLOP/s`,
  `kernels alone       ${kernels.toFixed(3)} s; the engine adds ${(100 * (least / kernels - 1)).toFixed(0)} %`,
  `dispatches          ${program.steps.length} forward and back`,
  `activations         ${megabytes(program.plan.bytes)} planned, ${megabytes(program.plan.alive)} alive at once at most`,
  `memory              ${Object.entries(memory)
    .map(([kind, bytes]) => `${kind} ${megabytes(bytes)}`)
    .join(", ")}`,
];
process.stdout.write(`${lines.join("\n")}\n`);
for (const { kernel, runs, seconds } of (await timed.timer!.times()).slice(0, 12)) {
  process.stdout.write(
    `  ${kernel.padEnd(40)} ${String(runs).padStart(6)} runs ${(1000 * seconds).toFixed(1).padStart(9)} ms\n`,
  );
}
process.exit(0);
