/**
 * `compress search`: how many bits each matrix is to have under a budget, by what they cost. The whole model is rounded
 * once for each number of bits, block by block as compress does it, and every matrix is measured there.
 *
 * Host memory: as compress. `--by loss` holds a second model on the GPU.
 */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import { Model } from "../../model/model.ts";
import { BlockPasses } from "../../run/calibrating/block-passes.ts";
import { humanBytes } from "../../text/format.ts";
import { parseSize } from "../../text/size.ts";
import { allocate, type Choice, type Item } from "../bit-search/allocate.ts";
import { LossRise } from "../bit-search/loss-rise.ts";
import type { BIT_SEARCH } from "../bit-search/options.ts";
import { compressModel } from "../compress-model.ts";
import { type Target, targetsOf } from "../matrices.ts";
import type { Quantizer } from "../quantizer.ts";
import { denseStorage } from "../storage.ts";
import { openCalibrated } from "./open-calibrated.ts";

type SearchContext = Context<typeof BIT_SEARCH>;

/** Throws UserError for bits that are none. */
function bitsOf({ bits = ["2,3,4,8"] }: SearchContext["options"]): number[] {
  const given = bits.flatMap((text) => text.split(","));
  const odd = given.find((text) => !/^[2-8]$/.test(text));
  if (odd !== undefined) throw new UserError(`--bits ${odd} is no number of bits`, "2 to 8, as 2,3,4,8");
  return [...new Set(given.map(Number))].sort((a, b) => a - b);
}

/** The budget, as a mean of bits or as bytes of all tensors. Throws UserError. */
function budgetOf({ budget }: SearchContext["options"]): { readonly mean: number } | { readonly bytes: number } {
  const [, mean] = /^(\d+(?:\.\d+)?) ?bits?$/.exec(budget.trim()) ?? [];
  if (mean === undefined) return { bytes: parseSize(budget, "budget") };
  return { mean: Number(mean) };
}

interface Sizes {
  readonly group: number;
  readonly symmetric: boolean;
}

const weightsOf = ({ rows, columns, parts }: Target): number => rows * columns * parts;

/** Bytes of a matrix with its scales, which are of the matrix' own type as layouts have them, and zero points. */
function bytesAt(target: Target, bits: number, { group, symmetric }: Sizes): number {
  const { rows, columns, parts, stored } = target;
  const scaleBits = stored.dtype === "F32" ? 32 : 16;
  const groups = parts * rows * (group < 0 ? 1 : Math.ceil(columns / group));
  return (bits * weightsOf(target) + groups * (scaleBits + (symmetric ? 0 : bits))) / 8;
}

interface Measuring {
  readonly gpu: Gpu;
  readonly checkpoint: Checkpoint;
  readonly batches: readonly Batch[];
  readonly by: Bound<Quantizer>;
  readonly rise: LossRise | undefined;
}

/** What each matrix costs with so many bits, by name. */
async function costsAt(context: SearchContext, work: Measuring, bits: number): Promise<Map<string, number>> {
  const { options, seed, signal } = context;
  const { gpu, checkpoint, batches, by, rise } = work;
  const model = await Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true, offload: true });
  const targets = targetsOf(model, options);
  const names = new Set(targets.map(({ stored }) => stored.name));
  const { group, symmetric } = options;
  const sums = new Map<string, number>();
  const scheme = (_: string, columns: number) => ({
    ...{ bits, symmetric, keepZeros: false },
    group: group < 0 || group > columns ? Number.POSITIVE_INFINITY : group,
  });
  for (const { stored, columns } of targets)
    by.method.check?.({ ...scheme(stored.name, columns), scales: "f16" }, by.values);
  const tensors = compressModel({
    ...{ model, checkpoint, targets, seed, signal, stats: undefined, dtype: undefined, trueSequential: false },
    choices: { quantize: { by, scheme }, measures: by.method.needs === "inputs" },
    storage: { ...denseStorage("F32"), scales: "f16" },
    passes: batches.length > 0 ? new BlockPasses(model, batches, signal) : undefined,
    isWanted: (name) => names.has(name),
    told({ name, error }) {
      sums.set(name, (sums.get(name) ?? 0) + error);
      context.progress.advance(1, name, `${bits} bits, E ${error.toPrecision(3)}`);
    },
    warn: (text) => context.warn(text),
  });
  const losses = new Map<string, number>();
  for await (const { name, bytes } of tensors)
    if (rise) losses.set(name, await rise.with(name, new Float32Array(bytes.slice().buffer)));
  model.free();
  if (rise) return losses;
  return new Map(targets.map(({ stored: { name }, parts }) => [name, (sums.get(name) ?? 0) / parts]));
}

export async function search(context: SearchContext): Promise<Outcome | undefined> {
  const { options, out, signal } = context;
  const [bits, budget] = [bitsOf(options), budgetOf(options)];
  const [by] = context.picks.quant;
  if (!by) throw new RangeError("a quantizer is the default");
  if (options.group === 0) throw new UserError("--group 0 is no number of inputs", "1 or more, or -1 for whole rows");
  if (!options.calibration && (options.by === "loss" || by.method.needs === "inputs"))
    throw new UserError(
      `${options.by === "loss" ? "--by loss" : `--quant ${by.method.name}`} reads rows, and --calibration is missing`,
      "give rows as the model will read: --calibration rows.jsonl",
    );
  if (options.by === "loss" && by.method.needs === "inputs" && by.method.prepare)
    throw new UserError(
      `${by.method.name} changes matrices together, and --by loss rounds one alone`,
      "use another --quant, or --by error",
    );
  const { checkpoint, batches, rows } = await openCalibrated(context);
  if (isStream(checkpoint))
    throw new UserError("compress search reads the model once for each number of bits", "save it to a file first");
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const whole = await Model.load(gpu, checkpoint, {
    ...{ dtype: "f32", freeze: () => true, offload: options.by === "error" || context.dryRun },
    warn: (text: string) => context.warn(text),
  });
  const targets = targetsOf(whole, options);
  const total = targets.reduce((sum, { parts }) => sum + parts, 0);
  if (context.dryRun) {
    context.json({ matrices: total, rows, runs: bits.length });
    if (!options.json) context.print(`${total} matrices, ${rows} rows, ${bits.length} times (${bits.join(", ")} bits)`);
    return undefined;
  }
  const target = options.json && out === "-" ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  const rise = options.by === "loss" ? await LossRise.of(whole, batches, signal) : undefined;
  context.progress.start({ total: total * bits.length, unit: "matrices" });
  const costs = new Map<number, ReadonlyMap<string, number>>();
  for (const own of bits) costs.set(own, await costsAt(context, { gpu, checkpoint, batches, by, rise }, own));
  context.progress.done();
  await rise?.free();
  whole.free();
  const found = chosen(context, { targets, bits, costs, budget, checkpoint });
  const plan = { bits: Object.fromEntries(targets.map(({ stored }, i) => [stored.name, found.choices[i]!.bits])) };
  target?.write(`${JSON.stringify(plan, null, 2)}\n`);
  const { choices: _, ...told } = found;
  context.json({ ...plan, ...told, by: options.by });
  if (!options.json) context.info(inWords(found));
  return out === "-" ? undefined : { output: out };
}

interface Known {
  readonly targets: readonly Target[];
  readonly bits: readonly number[];
  readonly costs: ReadonlyMap<number, ReadonlyMap<string, number>>;
  readonly budget: ReturnType<typeof budgetOf>;
  readonly checkpoint: Checkpoint;
}

interface Found {
  readonly choices: readonly Choice[];
  /** Bits of a weight on average. */
  readonly mean: number;
  /** Of all tensors. */
  readonly bytes: number;
  /** Sum over matrices. */
  readonly cost: number;
  /** The same with one number of bits for all, the most that the budget holds. */
  readonly uniform: { readonly bits: number; readonly cost: number } | null;
}

/** The choice for every target within the budget. */
function chosen({ options }: SearchContext, { targets, bits, costs, budget, checkpoint }: Known): Found {
  const weights = targets.reduce((sum, target) => sum + weightsOf(target), 0);
  const names = new Set(targets.map(({ stored }) => stored.name));
  const others = [...checkpoint.tensors.values()].filter(({ name }) => !names.has(name));
  const beside = others.reduce((sum, { bytes }) => sum + bytes, 0);
  const inBits = "mean" in budget;
  const sizeOf = (target: Target, own: number) => (inBits ? own * weightsOf(target) : bytesAt(target, own, options));
  const items = targets.map((target): Item => {
    const { name } = target.stored;
    const cost = (own: number) => Math.max(0, costs.get(own)?.get(name) ?? 0);
    return { name, choices: bits.map((own) => ({ bits: own, size: sizeOf(target, own), cost: cost(own) })) };
  });
  const most = inBits ? budget.mean * weights : budget.bytes - beside;
  const choices = allocate(items, most, (size) =>
    inBits ? `${Number((size / weights).toPrecision(4))} bits a weight` : humanBytes(Math.max(0, size + beside)),
  );
  const sum = (of: (target: Target, i: number) => number) => targets.reduce((all, target, i) => all + of(target, i), 0);
  const at = (own: number) => items.map(({ choices: all }) => all.find((one) => one.bits === own)!);
  const total = (all: readonly Choice[], of: "size" | "cost") => all.reduce((all, one) => all + one[of], 0);
  const fits = bits.findLast((own) => total(at(own), "size") <= most);
  return {
    choices,
    mean: sum((target, i) => choices[i]!.bits * weightsOf(target)) / weights,
    bytes: Math.ceil(beside + sum((target, i) => bytesAt(target, choices[i]!.bits, options))),
    cost: total(choices, "cost"),
    uniform: fits === undefined ? null : { bits: fits, cost: total(at(fits), "cost") },
  };
}

function inWords({ mean, bytes, cost, uniform }: Found): string {
  const beside = uniform ? ` (${uniform.cost.toPrecision(3)} with ${uniform.bits} bits for all)` : "";
  return `${mean.toFixed(2)} bits a weight, ${humanBytes(bytes)} in all; cost ${cost.toPrecision(3)}${beside}`;
}
