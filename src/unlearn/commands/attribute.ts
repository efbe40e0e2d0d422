/**
 * `unlearn attribute`: foretells what a classifier would say had it never learnt some rows. Georgiev et al.,
 * "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", ICLR 2025, https://arxiv.org/abs/2410.23232
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { stackExamples } from "../../data/batch.ts";

import { type Example, loadExamples } from "../../data/examples.ts";
import { groupsOf, parseGroups } from "../../data/groups.ts";
import { rowDigest } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { drawn } from "../../model/fresh.ts";
import { Model } from "../../model/model.ts";
import { hasFitState, readFitState } from "../../run/analytic/fit-state.ts";
import { eachFeatures, fittedHead } from "../../run/analytic/head-features.ts";
import { KeptRuns } from "../../run/kept-runs.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { ClassView } from "../../run/probing/class-view.ts";
import { checkSketchWidth } from "../../run/scoring/gradient-sketches.ts";
import { finetune } from "../../run/training/short-training.ts";
import { RidgeSums, takeOutRows } from "../../tensor/linear-algebra/recursive-ridge.ts";
import { humanBytes } from "../../text/format.ts";
import { blocksOf, drawnBlocks, inclusionWeights } from "../attribution/datamodel.ts";
import { type Attribution, readAttribution, writeAttribution } from "../attribution/file.ts";
import type { ATTRIBUTE } from "../attribution/options.ts";
import { gradientEffects } from "../attribution/projected-gradients.ts";
import { chunksOf } from "../forget-data.ts";

type AttributeContext = Context<typeof ATTRIBUTE>;

/** Models that are trained where none is said. */
const MODELS = 100;
/** Of attributions by gradients, the model itself among them. */
const TRAK_MODELS = 5;

/** Rows of the training, those to forget among them, and all points. */
interface Rows {
  readonly data: readonly Example[];
  readonly forget: readonly Example[];
  readonly points: readonly Example[];
}

async function readRows({ options }: AttributeContext, { examples: reader }: DescribedModel): Promise<Rows> {
  const { columns, attribution } = options;
  const data = await loadExamples(groupsOf(options.data, "--data", columns), reader);
  const others = await loadExamples(parseGroups(options.points ?? [], columns, "--points"), reader);
  const ofRows = attribution === "datamodel" || attribution === "trak";
  if (options.effects !== undefined && !ofRows)
    throw new UserError(
      `--effects are of a datamodel or trak, and --attribution ${attribution} has none`,
      "leave it out",
    );
  if (attribution === "trak") checkSketchWidth(options.projection, "--projection");
  if (ofRows) {
    if (options.forget)
      throw new UserError(
        `${attribution === "trak" ? "trak" : "a datamodel"} foretells outputs without any rows`,
        "give --forget to unlearn in its place",
      );
    return { data, forget: [], points: [...data, ...others] };
  }
  const forget = await loadExamples(groupsOf(options.forget, "--forget", columns), reader);
  const left = new Map<string, number>();
  for (const digest of data.map(rowDigest)) left.set(digest, (left.get(digest) ?? 0) + 1);
  for (const row of forget) {
    const count = left.get(rowDigest(row)) ?? 0;
    if (count === 0) throw new UserError(`${row.place}: the row is not among --data`, "--data are all rows");
    left.set(rowDigest(row), count - 1);
  }
  return { data, forget, points: [...data, ...others] };
}

/** What the model says of points now, (P, C). */
async function outputsOf(view: ClassView, points: readonly Example[]): Promise<Float32Array> {
  return (await view.read(chunksOf(points, 64).map(stackExamples))).logits;
}

/** How models are trained one after the other, in the place of the one that was read. */
interface Trained {
  readonly models: number;
  /** Those of model k; undefined for the model as it is. */
  rowsOf(k: number): readonly Example[] | undefined;
  /** What is wanted of a trained one. */
  measure(): Promise<Float32Array>;
  each(values: Float32Array): void;
}

/** Trains models anew, each on its rows, and measures them; those that were kept are not trained. */
async function trained(
  { options, seed, signal, progress }: AttributeContext,
  model: Model,
  kept: KeptRuns,
  { models, rowsOf, measure, each }: Trained,
): Promise<void> {
  const { epochs, lr, batch_size: batchSize } = options;
  progress.start({ total: models, unit: "models" });
  for (let k = 0; k < models; k++) {
    const known = (await kept.get(`model-${k}`))?.[0]?.values;
    const own = rowsOf(k);
    if (!known && own) {
      for (const spec of model.specs) {
        const parameter = model.parameters.get(spec.name)!;
        parameter.write(drawn(spec, spec.name, parameter.size, seed + k));
      }
      const rows = own.map((row) => ({ ...row, group: 0 }));
      const how = { rows: rows.length, epochs, lr, batchSize, seed: seed + k, signal, rateFlag: "--lr" };
      await finetune({ model, ref: `model ${k}` }, { kind: "examples", rows }, how);
    }
    const values = known ?? (await measure());
    if (!known) await kept.put(`model-${k}`, [{ name: "outputs", shape: [values.length], values }]);
    each(values);
    progress.advance(1);
  }
  progress.done();
}

/** Outputs of models that are trained anew. */
async function trainedOutputs(
  context: AttributeContext,
  model: Model,
  { points }: Rows,
  kept: KeptRuns,
  rowsOf: (k: number) => readonly Example[],
): Promise<Float32Array[]> {
  const view = new ClassView(model);
  const all: Float32Array[] = [];
  await trained(context, model, kept, {
    ...{ models: context.options.models ?? MODELS, rowsOf },
    measure: () => outputsOf(view, points),
    each: (outputs) => all.push(outputs),
  });
  view.free();
  return all;
}

/** Effects of rows by gradients, in the mean over the model and others that are trained as it was. */
async function byGradients(
  context: AttributeContext,
  model: Model,
  rows: Rows,
  kept: KeptRuns,
): Promise<Attribution["of"]> {
  const { options, seed, signal } = context;
  const { data, points } = rows;
  if (options.effects !== undefined) return foundEffects(options.effects, rows);
  const models = options.models ?? TRAK_MODELS;
  const settings = { width: options.projection, mu: options.ridge, seed, signal };
  let effects = new Float32Array();
  await trained(context, model, kept, {
    models,
    rowsOf: (k) => (k === 0 ? undefined : data),
    async measure() {
      const view = new ClassView(model);
      const logits = await outputsOf(view, points);
      view.free();
      return gradientEffects(model, { rows: data, points, logits }, settings);
    },
    each(own) {
      if (effects.length === 0) effects = new Float32Array(own.length);
      for (let at = 0; at < own.length; at++) effects[at]! += own[at]! / models;
    },
  });
  return { kind: "rows", rows: data.map(rowDigest), effects };
}

/** Effects that were found for another model. Throws UserError where they are of other rows. */
async function foundEffects(file: string, { data, points }: Rows): Promise<Attribution["of"]> {
  const { of, points: known } = await readAttribution(file);
  const same = known.join() === points.map(rowDigest).join();
  if (of.kind !== "rows" || !same || of.rows.join() !== data.map(rowDigest).join())
    throw new UserError(
      `--effects ${file} has no effects of these rows`,
      "give the --data and --points that it was made of",
    );
  return of;
}

/** Effects of rows by a regression on models of random blocks. */
async function byDatamodel(
  context: AttributeContext,
  model: Model,
  rows: Rows,
  kept: KeptRuns,
): Promise<Attribution["of"]> {
  const { options, seed } = context;
  const { data } = rows;
  if (options.effects !== undefined) return foundEffects(options.effects, rows);
  const { models = MODELS } = options;
  if (models < 2) throw new UserError("a regression needs two models or more", "raise --models");
  const blocks = blocksOf(
    data.map(({ group }) => group),
    options.block,
  );
  if (blocks.count < 2) throw new UserError("all rows are one block", "lower --block");
  const inclusion = Array.from({ length: models }, (_, k) => drawnBlocks(blocks.count, options.share, seed, k));
  const outputs = await trainedOutputs(context, model, rows, kept, (k) =>
    data.filter((_, row) => inclusion[k]![blocks.of[row]!] === 1),
  );
  const weights = inclusionWeights(inclusion, outputs, options.ridge);
  const size = outputs[0]!.length;
  const held = new Float64Array(blocks.count);
  for (const block of blocks.of) held[block]!++;
  const effects = new Float32Array(data.length * size);
  for (const [row, block] of blocks.of.entries())
    for (let at = 0; at < size; at++) effects[row * size + at] = weights[block * size + at]! / held[block]!;
  return { kind: "rows", rows: data.map(rowDigest), effects };
}

/** Outputs of models that never saw the rows, in the mean. */
async function byOracle(
  context: AttributeContext,
  model: Model,
  rows: Rows,
  kept: KeptRuns,
): Promise<Attribution["of"]> {
  const gone = new Map<string, number>();
  for (const digest of rows.forget.map(rowDigest)) gone.set(digest, (gone.get(digest) ?? 0) + 1);
  const left = rows.data.filter((row) => {
    const count = gone.get(rowDigest(row)) ?? 0;
    if (count > 0) gone.set(rowDigest(row), count - 1);
    return count === 0;
  });
  const all = await trainedOutputs(context, model, rows, kept, () => left);
  const without = all[0]!.map((_, at) => all.reduce((sum, outputs) => sum + outputs[at]! / all.length, 0));
  return { kind: "forget", rows: rows.forget.map(rowDigest), without };
}

/** Outputs with what the head's ridge regression loses without the rows: exact where the head is that regression. */
async function byRidge(
  context: AttributeContext,
  model: Model,
  { data, forget, points }: Rows,
  { outputs, lambda }: { readonly outputs: Float32Array; readonly lambda: number },
): Promise<Attribution["of"]> {
  const head = fittedHead(model);
  const { width, outputs: classes } = head;
  const { signal } = context;
  const sums = new RidgeSums(width, classes);
  await eachFeatures(model, head, data, { signal, each: (rows) => sums.add(rows) });
  const [whole, left] = [sums.fit(lambda), sums.fit(lambda)];
  const unknown = () => new UserError("rows of --forget do not add up with --data", "--data are all rows");
  await eachFeatures(model, head, forget, {
    signal,
    each(rows) {
      if (!takeOutRows(left, rows)) throw unknown();
    },
  });
  const lost = whole.weights.map((w, i) => w - left.weights[i]!);
  const without = outputs.slice();
  const places = new Map(points.map((point, p) => [point, p]));
  await eachFeatures(model, head, points, {
    signal,
    each({ features }, examples) {
      for (const [row, point] of examples.entries())
        for (let c = 0; c < classes; c++) {
          let sum = 0;
          for (let i = 0; i < width; i++) sum += features[row * width + i]! * lost[i * classes + c]!;
          without[places.get(point)! * classes + c]! -= sum;
        }
    },
  });
  return { kind: "forget", rows: forget.map(rowDigest), without };
}

export async function attribute(context: AttributeContext): Promise<Outcome> {
  const { options, out, seed } = context;
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(context.args[0] ?? "-", {}, warn);
  const { checkpoint, task, examples: reader, sizes, ref } = opened;
  context.onExit(() => checkpoint.close());
  if (task !== "classifier" || reader.text || reader.predicts !== undefined)
    throw new UserError(
      `attributions are of classifiers of vectors and images, and ${ref} is none`,
      "name an mlp or a vit",
    );
  const rows = await readRows(context, opened);
  refuseInputs(out, [ref, ...options.data, ...(options.forget ?? []), ...(options.points ?? [])]);
  const state = hasFitState(checkpoint.tensors) ? await readFitState(ref, checkpoint.tensors) : undefined;
  const told = { attribution: options.attribution, rows: rows.data.length, points: rows.points.length };
  if (context.dryRun) {
    context.print(`${told.points} points, ${told.rows} rows, by ${told.attribution}`);
    context.json(told);
    return {};
  }
  await tryTarget(out);
  const { parts: _, ...deciding } = options;
  const settings = { seed, deciding, digest: checkpoint.headerSha256, rows: rows.points.map(rowDigest) };
  const kept = KeptRuns.open(options.parts, "--parts", { ...settings, forget: rows.forget.map(rowDigest) });
  const model = await Model.load(await openGpu({ device: context.device }), checkpoint, { dtype: "f32" });
  const view = new ClassView(model);
  const outputs = await outputsOf(view, rows.points);
  view.free();
  const of =
    options.attribution === "ridge"
      ? await byRidge(context, model, rows, { outputs, lambda: state?.lambda ?? options.ridge })
      : options.attribution === "oracle"
        ? await byOracle(context, model, rows, kept)
        : options.attribution === "trak"
          ? await byGradients(context, model, rows, kept)
          : await byDatamodel(context, model, rows, kept);
  const step = { script: "unlearn attribute", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(
    step,
    [{ checkpoint, role: "model" }],
    warn,
    options.data.map((each) => ({ ref: each, role: "data" })),
  );
  const points = rows.points.map(rowDigest);
  const bytes = await writeAttribution({ points, outputs, classes: sizes.outputs, of }, out, lineage);
  kept.remove();
  model.free();
  context.json({ ...told, bytes });
  return { output: `${out} (${humanBytes(bytes)})`, told: `${told.points} points` };
}
