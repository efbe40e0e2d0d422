/** `train reservoir`: a random recurrent network with inhibition that adapts, and its readout; needs no GPU. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import { writeArrays } from "../../checkpoint/write/write-arrays.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";
import { expectParts, readParts } from "../../run/parts-file.ts";
import { checkFile } from "../../run/small-nets/file.ts";
import type { RESERVOIR } from "../reservoir/options.ts";
import { featuresOf, normalisedError, readOut, ridgeReadout, squaredCorrelation } from "../reservoir/readout.ts";
import { Reservoir, targetRates } from "../reservoir/reservoir.ts";

type ReservoirContext = Context<typeof RESERVOIR>;

interface Series {
  readonly u: readonly (readonly number[])[];
  readonly y: readonly (readonly number[])[];
}

const HINT = 'a line is {"u": [0.1], "y": [0.2]}: what goes in, and what is to come out';

function numbersAt(value: Json | undefined, key: string, place: string): number[] {
  if (Array.isArray(value) && value.length > 0 && value.every((x) => typeof x === "number")) return value.map(Number);
  throw new UserError(`${place}: ${show(key)} should be a list of numbers`, HINT);
}

/** Reads a series. Throws UserError for steps of other widths. */
async function readSeries(file: string): Promise<Series> {
  const [u, y]: number[][][] = [[], []];
  for await (const { value, place } of readJsonFile(file, { hint: HINT, flag: "--data" })) {
    if (!isObject(value)) throw new UserError(`${place}: expected an object`, HINT);
    const [input, output] = [numbersAt(value.u, "u", place), numbersAt(value.y, "y", place)];
    if (u![0] && (u![0].length !== input.length || y![0]!.length !== output.length))
      throw new UserError(
        `${place}: the step is of ${input.length} and ${output.length} numbers, the first of ${u![0].length} and ${y![0]!.length}`,
      );
    u!.push(input);
    y!.push(output);
  }
  return { u: u!, y: y! };
}

/** How well delayed inputs are read from the state: sum over delays of squared correlations on held steps. */
function memoryOf(
  rows: readonly (readonly number[])[],
  { u }: Series,
  from: number,
  held: number,
  options: { memory: number; ridge: number },
) {
  const delays = Array.from({ length: options.memory }, (_, k) => k + 1);
  const first = Math.max(from, options.memory);
  const wanted = (t: number) => delays.map((k) => u[t - k]![0]!);
  const places = Array.from({ length: held - first }, (_, i) => first + i);
  const weights = ridgeReadout(
    places.map((t) => rows[t]!),
    places.map(wanted),
    options.ridge,
  );
  const tested = Array.from({ length: rows.length - held }, (_, i) => held + i);
  const found = tested.map((t) => readOut(weights, rows[t]!));
  const asked = tested.map(wanted);
  return delays.reduce(
    (sum, _, k) =>
      sum +
      squaredCorrelation(
        found.map((row) => row[k]!),
        asked.map((row) => row[k]!),
      ),
    0,
  );
}

/** What a file holds: a reservoir and its readout. */
async function readFile(context: ReservoirContext, file: string) {
  const checkpoint = await open(file, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  const stored = await readParts(checkpoint, "reservoir", "bun run train reservoir");
  const [units = 0, inputs = 0, leak = 1, outputs = 0] = stored.fixed("sizes");
  const features = units + inputs + 1;
  expectParts(stored, "reservoir", [
    ...([
      ["weights", units * units],
      ["into", units * inputs],
      ["bias", units],
    ] as const),
    ...([
      ["inhibition", units],
      ["readout", outputs * features],
    ] as const),
  ]);
  const of = (name: string) => Float32Array.from(stored.fixed(name));
  const reservoir = new Reservoir(
    { units, inputs, leak },
    { weights: of("weights"), into: of("into"), bias: of("bias"), inhibition: of("inhibition") },
  );
  const values = stored.fixed("readout");
  const readout = Array.from({ length: outputs }, (_, k) => values.slice(k * features, (k + 1) * features));
  return { reservoir, readout, checkpoint };
}

async function save(
  out: string,
  reservoir: Reservoir,
  readout: readonly (readonly number[])[],
  lineage: LineageEntry[],
) {
  const { units, inputs, leak } = reservoir.sizes;
  const array = (name: string, shape: number[], values: Float32Array) => ({ name: `reservoir.${name}`, shape, values });
  await writeArrays(
    out,
    [
      array("sizes", [4], Float32Array.of(units, inputs, leak, readout.length)),
      array("weights", [units, units], reservoir.weights),
      array("into", [units, inputs], reservoir.into),
      array("bias", [units], reservoir.bias),
      array("inhibition", [units], Float32Array.from(reservoir.inhibition)),
      array("readout", [readout.length, units + inputs + 1], Float32Array.from(readout.flat())),
    ],
    lineage,
  );
}

/**
 * A new reservoir that has adapted to the steps to learn from, or that of a file. Throws UserError where it does not
 * fit.
 */
async function reservoirFor(context: ReservoirContext, { u, y }: Series, held: number) {
  const { options, args, seed } = context;
  const inputs = u[0]!.length;
  if (args[0] !== undefined) {
    const read = await readFile(context, args[0]);
    if (read.reservoir.sizes.inputs !== inputs || read.readout.length !== y[0]!.length)
      throw new UserError(
        `${args[0]} takes ${read.reservoir.sizes.inputs} numbers and gives ${read.readout.length}, and the series has ${inputs} and ${y[0]!.length}`,
        "name a series like the one that it learnt",
      );
    return { ...read, rates: undefined };
  }
  const reservoir = Reservoir.drawn({ ...options, inputs, seed });
  const rates = targetRates(options.units, { rate: options.rate, spread: options.rate_spread, seed });
  reservoir.adapt(u.slice(0, held), { eta: options.homeostasis, passes: options.adapt_passes, rates });
  return { reservoir, rates, readout: undefined, checkpoint: undefined };
}

/** Runs the sub-command. */
export async function reservoir(context: ReservoirContext): Promise<Outcome> {
  const { options, args, seed, out, signal } = context;
  const inputs = [...args.slice(0, 1), options.data];
  refuseInputs(out, inputs);
  if (options.map !== undefined) refuseInputs(options.map, [...inputs, out], "--map");
  const series = await readSeries(options.data);
  const held = Math.floor((1 - options.held_share) * series.u.length);
  if (held - options.washout < 2 || series.u.length - held < 2 || held <= options.memory + 2)
    throw new UserError(
      `${series.u.length} steps are too few: ${options.washout} to begin, ${held - options.washout} to learn from, ${series.u.length - held} to measure`,
      "give a longer series, or a smaller --washout, --memory or --held-share",
    );
  const about = { steps: series.u.length, learnt: held - options.washout, held: series.u.length - held };
  if (context.dryRun) {
    context.json(about);
    context.print(`${about.steps} steps, ${about.learnt} to learn from, ${about.held} to measure`);
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  const mapped = options.map === undefined ? undefined : textOutput(options.map, "--map");
  context.onExit((ok) => (ok ? mapped?.commit() : mapped?.discard()));
  const { reservoir: net, rates, readout: known, checkpoint } = await reservoirFor(context, series, held);
  signal.throwIfAborted();
  const { states, balance } = net.run(series.u);
  const rows = states.map((state, t) => featuresOf(state, series.u[t]!));
  const from = options.washout;
  const readout = known ?? ridgeReadout(rows.slice(from, held), series.y.slice(from, held), options.ridge);
  const found = rows.map((row) => readOut(readout, row));
  const errors = (a: number, b?: number) => normalisedError(found.slice(a, b), series.y.slice(a, b));
  const fired = Array.from(
    net.inhibition,
    (_, i) => states.slice(from).reduce((sum, x) => sum + x[i]!, 0) / (states.length - from),
  );
  const off = rates && fired.reduce((sum, rate, i) => sum + Math.abs(rate - rates[i]!), 0) / fired.length;
  const result = {
    ...{ ...about, nrmse: errors(held), nrmse_learnt: errors(from, held), balance },
    rate: fired.reduce((sum, rate) => sum + rate, 0) / fired.length,
    ...(off === undefined ? {} : { rate_error: off }),
    ...(options.memory > 0 ? { memory: memoryOf(rows, series, from, held, options) } : {}),
  };
  mapped?.write(found.map((y) => `${JSON.stringify({ y })}\n`).join(""));
  context.json(result);
  if (!options.json && out !== "-")
    context.print(
      `error ${result.nrmse.toFixed(4)} of the deviation on held steps, ${result.nrmse_learnt.toFixed(4)} on learnt ones; rate ${result.rate.toFixed(3)}, balance ${balance.toFixed(3)}${result.memory === undefined ? "" : `, memory ${result.memory.toFixed(2)}`}`,
    );
  const read = checkpoint ? [{ checkpoint, role: "reservoir" }] : [];
  const step = { script: "train reservoir", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, read, (text) => context.warn(text), [{ ref: options.data, role: "data" }]);
  await save(out, net, readout, lineage);
  return { output: out === "-" ? "stdout" : out };
}
