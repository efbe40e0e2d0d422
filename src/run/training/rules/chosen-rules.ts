/** The update rules that options of a training ask for. */
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import type { Read } from "../../../checkpoint/lineage/input.ts";
import { open, openPlain } from "../../../checkpoint/open.ts";
import type { Batch } from "../../../data/batch.ts";
import { parseGroups } from "../../../data/groups.ts";
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import type { Model } from "../../../model/model.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { readBatches } from "../../batches-in-order.ts";
import type { DescribedModel } from "../../open-model.ts";
import type { RunContext } from "../technique.ts";
import type { UpdateRule } from "../update-rule.ts";
import { WeightAverage } from "../weight-average.ts";
import { Anchor } from "./anchor.ts";
import { ClassAnchor } from "./class-anchor.ts";
import { loraPlus } from "./lora-plus.ts";
import { movingAverage } from "./moving-average.ts";
import type { RULES } from "./options.ts";
import { readPhrasePairs } from "./phrase-pairs.ts";
import { QuadraticPenalty } from "./quadratic-penalty.ts";
import { softMasks } from "./soft-mask.ts";
import { StepScales } from "./step-scales.ts";
import { TernaryWeights, ternaryMatrices } from "./ternary.ts";
import { UnitRates } from "./unit-rates.ts";
import { UnitScales } from "./unit-scales.ts";
import { matchValues, readValues, spread, type Wanted } from "./weight-values.ts";

type RuleOptions = Values<typeof RULES> & { readonly columns?: string | undefined };

/** Files that options of rules name; headers are read. */
export interface RuleFiles {
  readonly masks: readonly Checkpoint[];
  readonly importance: Checkpoint | undefined;
  /** The model that a penalty holds to. */
  readonly start: Checkpoint | undefined;
}

/** Opens what the options name. Throws UserError. */
export async function openRuleFiles({
  softmask = [],
  penalty_importance,
  penalty_from,
}: RuleOptions): Promise<RuleFiles> {
  const masks: Checkpoint[] = [];
  for (const file of softmask) masks.push(await openPlain(file));
  return {
    masks,
    importance: penalty_importance === undefined ? undefined : await openPlain(penalty_importance),
    start: penalty_from === undefined ? undefined : await open(penalty_from),
  };
}

/** The files, for lineage. */
export const readOf = ({ masks, importance, start }: RuleFiles): Read[] => [
  ...masks.map((checkpoint) => ({ checkpoint, role: "softmask" })),
  ...(importance ? [{ checkpoint: importance, role: "penalty_importance" }] : []),
  ...(start ? [{ checkpoint: start, role: "penalty_from" }] : []),
];

export const closeRuleFiles = ({ masks, importance, start }: RuleFiles): void => {
  for (const file of [...masks, importance, start]) file?.close();
};

const IMPORTANCE: Wanted = {
  flag: "--penalty-importance",
  what: "importances",
  most: Number.POSITIVE_INFINITY,
  hint: "measure some of this model: bun run evaluate MODEL --data FILE --probe fisher --fisher-save FILE",
};

/**
 * The rules, those that change the gradient before those that bound the step. What follows them in a training, such as
 * an average, sees the bounded step. Throws UserError for files that do not fit the model.
 */
export async function chosenRules(
  { options, seed, signal, info }: Pick<RunContext, "seed" | "signal" | "info"> & { readonly options: RuleOptions },
  {
    model,
    steps,
    ...read
  }: Pick<DescribedModel, "tools" | "examples"> & { readonly model: Model; readonly steps: number },
  files: RuleFiles,
): Promise<UpdateRule[]> {
  const rules: UpdateRule[] = [];
  if (options.ternary) rules.push(new TernaryWeights(model, ternaryMatrices(model, options.ternary)));
  if (options.penalty_weight !== undefined) rules.push(await penalty(options.penalty_weight, model, files, info));
  if (options.class_anchor !== undefined)
    rules.push(await classAnchor(options.class_anchor, options, { model, tools: read.tools, seed, info }));
  if (files.masks.length > 0) {
    const scales = await softMasks(model, files.masks);
    rules.push(new UnitScales(model.gpu, scales, { name: "softmask", apply: options.softmask_apply, seed }));
    const others = model.trainable().length - scales.length;
    if (others > 0) info(`--softmask masks ${scales.length} weights; the ${others} others move freely`);
  }
  if (options.unit_rates) {
    const groups = await keptRows(options, read);
    const { unit_rates_unit: unit, unit_rates_every: every } = options;
    rules.push(await UnitRates.make(model, { groups, unit, every, seed, signal }));
  }
  const { ema, lora_plus, swa } = options;
  const asked = model.adapter?.stepScales?.() ?? [];
  if (asked.length > 0) rules.push(new StepScales(model.gpu, asked, seed));
  if (lora_plus !== undefined) rules.push(loraPlus(model, lora_plus, seed));
  if (ema !== undefined) rules.push(movingAverage(model, ema));
  if (swa !== undefined)
    rules.push(new WeightAverage(model.gpu, model.trainable(), { from: Math.floor(swa * steps) + 1, name: "swa" }));
  return rules;
}

const START: Wanted = {
  flag: "--penalty-from",
  what: "weights",
  least: Number.NEGATIVE_INFINITY,
  most: Number.POSITIVE_INFINITY,
  hint: "name a model of the same form, such as the one that this model was trained from",
};

/** Moves an anchor to the weights of another model. Throws UserError for a model of another form. */
async function startAt(anchor: Anchor, model: Model, file: Checkpoint): Promise<void> {
  const found = matchValues(model, file, START);
  for (const parameter of model.trainable()) {
    const own = found.filter((values) => values.parameter === parameter);
    if (own.reduce((sum, { shape }) => sum + sizeOf(shape), 0) < parameter.size)
      throw new UserError(`--penalty-from ${file.ref} has no ${parameter.name}, which is trained`, START.hint);
    for (const values of own)
      anchor.hold(
        parameter,
        values.start,
        spread(await readValues(file, values, START), values.entry.shape, values.shape),
      );
  }
}

async function penalty(
  weight: number,
  model: Model,
  { importance: file, start }: RuleFiles,
  info: (text: string) => void,
) {
  const parameters = model.trainable();
  const found = file ? matchValues(model, file, IMPORTANCE) : [];
  const anchor = new Anchor(model.gpu, parameters, { weighed: file !== undefined });
  for (const values of found) {
    const own = await readValues(file!, values, IMPORTANCE);
    anchor.set(values.parameter, values.start, spread(own, values.entry.shape, values.shape));
  }
  if (start && !model.gpu.dry) await startAt(anchor, model, start);
  const free = parameters.length - new Set(found.map(({ parameter }) => parameter)).size;
  if (file && free > 0) info(`${IMPORTANCE.flag} ${file.ref} says nothing of ${free} weights, which move freely`);
  return new QuadraticPenalty(model.gpu, anchor, { weight, owned: true });
}

/** Throws UserError for models that read no text. */
async function classAnchor(
  file: string,
  options: RuleOptions,
  {
    model,
    tools,
    seed,
    info,
  }: Pick<DescribedModel, "tools"> & { model: Model; seed: number; info(text: string): void },
): Promise<ClassAnchor> {
  const { tokenizer } = tools ?? {};
  if (model.task !== "causal-lm" || !tokenizer)
    throw new UserError(
      "--class-anchor is for language models with a tokenizer, which read its phrases",
      "give --tokenizer, or leave it out",
    );
  const most = model.sizes.maxPositions;
  const pairs = (await readPhrasePairs(file)).map(({ fresh, anchor, place }) => {
    const encoded = { fresh: tokenizer.encode(fresh), anchor: tokenizer.encode(anchor) };
    const longest = Math.max(encoded.fresh.length, encoded.anchor.length);
    if (most > 0 && longest > most)
      throw new UserError(`${place}: a phrase has ${longest} tokens, and the model takes ${most}`, "shorten it");
    return encoded;
  });
  const { class_anchor_weight: weight, class_anchor_pool: pool, class_anchor_batch: batch } = options;
  return new ClassAnchor(model, pairs, { weight, pool, batch, pad: tokenizer.pad ?? 0, seed, info });
}

/** Batches of the rows that are to be kept, by group. Throws UserError for a group of which no row counts. */
async function keptRows(options: RuleOptions, described: Pick<DescribedModel, "tools" | "examples">) {
  const groups: Batch[][] = [];
  for (const group of parseGroups(options.unit_rates ?? [], options.columns, "--unit-rates")) {
    const { batches } = await readBatches([group], described, options.unit_rates_batch);
    const counted = batches.filter(({ counted }) => counted > 0);
    if (counted.length === 0)
      throw new UserError(
        `--unit-rates ${group.path} has no row whose loss counts`,
        "give rows with an answer or a label",
      );
    groups.push(counted);
  }
  return groups;
}
