/**
 * `train analytic`: the head of a frozen model fitted in closed form, or further rows learnt by one that is. Rows can
 * be taken out again: unlearn --method analytic.
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { HEAD_EXPANSION } from "../../model/blocks/random-expansion.ts";
import { classHeadOf, classifierConfig } from "../../model/decoder-classifier.ts";
import { describeConfig } from "../../model/description.ts";
import { prepareSave, saveResult } from "../../model/save.ts";
import { type FitState, fitEntries, hasFitState, readFitState } from "../../run/analytic/fit-state.ts";
import { eachFeatures, expectHead, type FittedHead, fittedHead, writeHead } from "../../run/analytic/head-features.ts";
import { LearntRows } from "../../run/analytic/learnt-rows.ts";
import { describeModel } from "../../run/open-model.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { learnRows, type RidgeFit, RidgeSums } from "../../tensor/linear-algebra/recursive-ridge.ts";
import { humanBytes } from "../../text/format.ts";
import type { ANALYTIC } from "../analytic/options.ts";

type AnalyticContext = Context<typeof ANALYTIC>;

/** Models whose heads may read random units, beside language models with a head of classes. */
const EXPANDED = ["mlp", "vit"];

/** The config with the head that is asked for. Throws UserError where the model takes none. */
function changedBy({ options, seed }: AnalyticContext): ConfigChange | undefined {
  const { expand, classes } = options;
  if (expand === undefined && classes === undefined) return undefined;
  return async (json, { ref, files }) => {
    const { architecture } = await describeConfig(json, ref, undefined, { files });
    if (classes !== undefined && architecture.task !== "causal-lm")
      throw new UserError(
        `--classes gives a language model a head, and ${ref} is a ${architecture.task}`,
        "leave it out",
      );
    const own =
      classes === undefined ? json : classifierConfig(json, architecture, { head: "sequence", labels: classes });
    if (expand === undefined) return own;
    if (json[HEAD_EXPANSION])
      throw new UserError(`the head of ${ref} reads random units already`, "leave out --expand");
    if (!EXPANDED.includes(architecture.name) && classHeadOf(own) !== "sequence")
      throw new UserError(
        `--expand is for ${EXPANDED.join(", ")} and decoders with a head of classes, and ${ref} is a ${architecture.name}`,
        "leave it out",
      );
    return { ...own, [HEAD_EXPANSION]: { units: expand, seed } };
  };
}

/** The state of a head that learnt rows before; undefined of a new one. Throws UserError for options that change it. */
async function stateOf(
  { options }: AnalyticContext,
  { ref, tensors = new Map() }: Start,
): Promise<FitState | undefined> {
  if (!hasFitState(tensors)) return undefined;
  const odd = options.expand !== undefined ? "--expand" : options.classes !== undefined ? "--classes" : undefined;
  const state = await readFitState(ref, tensors);
  if (odd) throw new UserError(`${odd} makes a new head, and that of ${ref} holds rows already`, "leave it out");
  if (options.ridge !== undefined && options.ridge !== state.lambda)
    throw new UserError(
      `--ridge ${options.ridge}: the head of ${ref} was fitted with ${state.lambda}`,
      "leave it out, or begin with a model without such a head",
    );
  return state;
}

/** A head that holds nothing yet. */
const emptyFit = ({ width, outputs }: FittedHead): RidgeFit => ({
  ...{ width, outputs },
  inverse: new Float64Array(width * width),
  weights: new Float64Array(width * outputs),
});

export async function fitHead(context: AnalyticContext): Promise<Outcome> {
  const { options, seed, signal, progress, out } = context;
  const warn = (text: string) => context.warn(text);
  const begun = await start({
    ...{ model: context.args[0] ?? "-", init: undefined, neverNew: true, seed, warn },
    changed: changedBy(context),
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, options, warn);
  const known = await stateOf(context, begun);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await begun.load(gpu);
  const head = fittedHead(model);
  const examples = await loadExamples(groupsOf(options.data, "--data", options.columns), described.examples);
  if (examples.length === 0) throw new UserError("--data has no rows", "give rows with labels");
  if (known && !context.dryRun) await expectHead(model, known.fit, head, begun.ref);
  const state = known ?? { fit: emptyFit(head), lambda: options.ridge ?? 1, rows: new LearntRows() };
  state.rows.add(examples);
  if (context.dryRun) {
    context.print(`${examples.length} rows into a head of ${head.width} x ${head.outputs} numbers`);
    context.json({ rows: examples.length, width: head.width, classes: head.outputs });
    return {};
  }
  const step = { script: "train analytic", version: context.version, options: context.chosen, seed };
  const data = options.data.map((ref) => ({ ref, role: "data" }));
  const lineage = lineageOf(step, begun.read, warn, data);
  const saving = { files: described.files, lineage, beside: fitEntries(state) };
  const writer = await prepareSave(model, out, saving);
  context.onExit((ok) => (ok ? undefined : writer?.abort()));
  progress.start({ total: examples.length, unit: "rows" });
  const sums = known ? undefined : new RidgeSums(head.width, head.outputs);
  await eachFeatures(model, head, examples, {
    signal,
    each(rows) {
      if (sums) sums.add(rows);
      else learnRows(state.fit, rows);
      progress.advance(rows.count);
    },
  });
  if (sums) {
    const made = sums.fit(state.lambda);
    state.fit.inverse.set(made.inverse);
    state.fit.weights.set(made.weights);
  }
  progress.done();
  writeHead(model, state.fit, head);
  const bytes = await saveResult(model, writer ?? out, saving, context.log.run);
  model.free();
  context.json({ rows: examples.length, learnt: state.rows.size, width: head.width, classes: head.outputs, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `${state.rows.size} rows in the head`,
  };
}
