/**
 * `evaluate permutation`: a positive control. Wide networks learn a permutation of bits from the k one-hot inputs
 * alone; the mean of their outputs then has the right sign for every other input, and the mean of their weights does
 * not.
 */
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { table } from "../../text/table.ts";
import type { PERMUTATION } from "../options.ts";
import { meanOutputs } from "../permutation/closed-form.ts";
import { Ensemble } from "../permutation/ensemble.ts";

type Context = CommandContext<typeof PERMUTATION>;

/** Above this an output says one, below zero. Of a one-hot input all other outputs are zero but for rounding. */
const ZERO = 1e-3;

/** All inputs but zero, or so many drawn by seed where there are more. */
function inputsOf(k: number, most: number, seed: number): number[][] {
  const bits = (number: number) => Array.from({ length: k }, (_, i) => Math.floor(number / 2 ** i) % 2);
  const all = 2 ** k - 1;
  if (all <= most) return Array.from({ length: all }, (_, i) => bits(i + 1));
  const random = new Random(seed, "permutation inputs");
  return Array.from({ length: most }, () => bits(1 + random.below(all)));
}

/** Shares of bits, and of inputs whose every bit is right. */
function scored(outputs: ArrayLike<number>, inputs: readonly (readonly number[])[], targets: readonly number[]) {
  let [bits, whole] = [0, 0];
  for (const [r, input] of inputs.entries()) {
    const right = input.filter((bit, i) => outputs[r * input.length + targets[i]!]! > ZERO === (bit === 1)).length;
    bits += right / input.length;
    if (right === input.length) whole++;
  }
  return { bits: bits / inputs.length, inputs: whole / inputs.length };
}

/** Numbers of networks after which the ensemble is looked at: powers of two, and the last. */
const looksAt = (run: number, models: number): boolean => run === models || Number.isInteger(Math.log2(run));

/** Runs the sub-command. */
export async function permutation(context: Context): Promise<Outcome> {
  const { options, signal, seed } = context;
  const { k, width, inputs: most } = options;
  const models = options.models ?? 4 * k;
  const targets = new Random(seed, "permutation").shuffled(Array.from({ length: k }, (_, i) => i));
  const inputs = inputsOf(k, most, seed);
  const exact = scored(
    inputs.flatMap((bits) => [...meanOutputs(bits, targets)]),
    inputs,
    targets,
  );
  if (context.dryRun) {
    if (options.json) context.json({ models, weights: 2 * k * width, rows: k, told: inputs.length });
    else context.print(`${models} networks of ${2 * k * width} weights on ${k} rows, ${inputs.length} inputs to tell`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  using ensemble = await Ensemble.make(gpu, { k, width, seed, targets });
  const sums = new Float64Array(inputs.length * k);
  const rows: { networks: number; bits: number; inputs: number }[] = [];
  context.progress.start({ total: models, unit: "networks" });
  for (let run = 1; run <= models; run++) {
    const error = await ensemble.train(signal);
    signal.throwIfAborted();
    if (!(error < 1e-6))
      throw new UserError(
        `network ${run} ended with an error of ${error}: it did not learn its rows`,
        "give a larger --width",
        1,
      );
    for (const [i, output] of (await ensemble.outputs(inputs)).entries()) sums[i]! += output;
    if (looksAt(run, models))
      rows.push({
        networks: run,
        ...scored(
          sums.map((sum) => sum / run),
          inputs,
          targets,
        ),
      });
    context.progress.advance(1);
  }
  const weights = scored(await ensemble.meanWeights(inputs), inputs, targets);
  context.progress.done();
  const share = (value: number) => value.toFixed(4);
  context.print(
    table([
      ["", "bits", "whole inputs"],
      ...rows.map((row) => [`outputs of ${row.networks}`, share(row.bits), share(row.inputs)]),
      [`weights of ${models}`, share(weights.bits), share(weights.inputs)],
      ["infinite width", share(exact.bits), share(exact.inputs)],
    ]),
  );
  context.json({ k, width, models, told: inputs.length, outputs: rows, weights, infinite: exact });
  return {};
}
