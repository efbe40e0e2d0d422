/**
 * `compress width`: fewer heads and hidden units in every block, chosen by their weights or by what they do on rows.
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { nameModels } from "../../model/names.ts";
import { anatomyOf } from "../../model/structure/anatomy.ts";
import { readingsOf } from "../../model/structure/reads.ts";
import { sliceOf, type WidthSpace, widthSpaces } from "../../model/structure/slice.ts";
import { slicedCheckpoint } from "../../model/structure/sliced-checkpoint.ts";
import { shapedModel } from "../../model/structure/subnet.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { chosenUnits, keptCount } from "../width/choose.ts";
import { magnitudes } from "../width/magnitude.ts";
import { measured } from "../width/measured.ts";
import type { WIDTH } from "../width/options.ts";
import { bytesOf, writeCheckpoint, writtenAs } from "./write-checkpoint.ts";

type WidthContext = Context<typeof WIDTH>;
type Opened = DescribedModel & Pick<Awaited<ReturnType<typeof openModel>>, "checkpoint">;

/** Shares that stay, by kind of unit. Throws UserError where nothing is to go. */
function sharesOf({ heads, neurons }: WidthContext["options"]) {
  if ((heads ?? 1) === 1 && (neurons ?? 1) === 1)
    throw new UserError("nothing is to go", "say what stays: --heads 0.5, --neurons 0.5, or both");
  return { heads, inner: neurons };
}

/** Throws UserError where rows are missing, or nothing reads them. */
function checkRows({ by, calibration }: WidthContext["options"]): void {
  if (by === "magnitude" && calibration)
    throw new UserError("--by magnitude looks at weights alone, and --calibration names rows", "leave one of them out");
  if (by !== "magnitude" && !calibration)
    throw new UserError(`--by ${by} looks at what units do on rows`, "give --calibration rows.jsonl");
}

/** Scores of units by space, from rows; spaces are those of the whole model under its own names. */
async function onRows(context: WidthContext, opened: Opened, by: "activation" | "taylor") {
  const { options, signal } = context;
  const groups = groupsOf(options.calibration, "--calibration", options.columns);
  const { batches, rows } = await readBatches(groups, opened, options.batch_size);
  if (batches.length === 0) throw new UserError("--calibration has no rows", "name a file with some");
  const gpu = await openGpu({ device: context.device, dry: false });
  const model = await Model.load(gpu, opened.checkpoint, {
    ...{ dtype: "f32", freeze: () => true, warn: (text) => context.warn(text) },
  });
  const anatomy = anatomyOf(shapedModel(model, opened.ref));
  const spaces = widthSpaces(anatomy);
  context.progress.start({ total: rows, unit: "rows" });
  const done = (count: number) => context.progress.advance(count);
  const scores = await measured(model, batches, readingsOf(anatomy, spaces), { by, signal, done });
  context.progress.done();
  model.free();
  // Names in files may lack a prefix that the architecture has: blocks come in the same order.
  return { scores, spaces };
}

/** Throws UserError for models whose structure is not known, and for those that cannot hold what is left. */
export async function width(context: WidthContext): Promise<Outcome> {
  const { options, out } = context;
  const ref = context.args[0] ?? "-";
  const shares = sharesOf(options);
  checkRows(options);
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint } = opened;
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref]);
  if (isStream(checkpoint))
    throw new UserError("compress width reads tensors out of their order, and stdin is a stream", "save it to a file");
  const [model] = nameModels(new Map([[ref, checkpoint]]), ref, []).values();
  if (!model) throw new RangeError(`${ref} was not opened`);
  const anatomy = anatomyOf(model);
  const spaces = widthSpaces(anatomy).filter(({ kind }) => (shares[kind] ?? 1) < 1);
  if (spaces.length === 0)
    throw new UserError(
      `${ref} has no ${shares.inner === undefined ? "heads" : "heads or hidden units"} that are known`,
      "widths are cut in decoders of the Llama family, gpt2, gpt_neox, vit, mlp and mlp-tasks",
    );
  const even = (space: WidthSpace) => new Float64Array(space.units);
  // What is left is checked before the scores are known: it hangs on their number alone.
  const counted = chosenUnits(anatomy, spaces, new Map(spaces.map((space) => [space.id, even(space)])), shares);
  const planned = await slicedCheckpoint(model, sliceOf(model, { units: counted }, anatomy));
  const [before, after] = [bytesOf(checkpoint), bytesOf(planned)];
  if (context.dryRun) {
    if (options.json) context.json({ bytes: { before, after } });
    else context.print(`${humanBytes(before)} -> ${humanBytes(after)}`);
    return {};
  }
  const scores =
    options.by === "magnitude"
      ? await magnitudes(model, anatomy, spaces)
      : renamed(await onRows(context, opened, options.by), widthSpaces(anatomy));
  const units = chosenUnits(anatomy, spaces, scores, shares);
  const made = await slicedCheckpoint(model, sliceOf(model, { units }, anatomy));
  const step = { script: "compress width", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  await writeCheckpoint(context, made, lineage, writtenAs(options));
  context.json({
    by: options.by,
    bytes: { before, after },
    kept: spaces.map(({ id }) => ({ of: id, units: [...(units.get(id) ?? [])] })),
  });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(after)})`, told: summary(spaces, shares) };
}

/** Scores under the names that the file has. */
function renamed(
  { scores, spaces }: { readonly scores: ReadonlyMap<string, Float64Array>; readonly spaces: readonly WidthSpace[] },
  own: readonly WidthSpace[],
): ReadonlyMap<string, Float64Array> {
  const found = new Map<string, Float64Array>();
  for (const { id, kind, layer } of spaces) {
    const same = own.find((space) => space.kind === kind && space.layer === layer);
    const values = scores.get(id);
    if (same && values) found.set(same.id, values);
  }
  return found;
}

/** `heads 4 -> 2, hidden units 40 -> 20`; of a perceptron the sum over its layers. */
function summary(
  spaces: readonly WidthSpace[],
  shares: Readonly<Record<WidthSpace["kind"], number | undefined>>,
): string {
  const of = (kind: WidthSpace["kind"], word: string) => {
    const own = spaces.filter((space) => space.kind === kind);
    if (own.length === 0) return [];
    const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);
    const before = sum(own.map(({ units }) => units));
    return [`${word} ${before} -> ${sum(own.map(({ units }) => keptCount(units, shares[kind] ?? 1)))}`];
  };
  return [...of("heads", "heads"), ...of("inner", "hidden units")].join(", ");
}
