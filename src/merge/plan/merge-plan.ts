/**
 * Plans a merge before any weight is read: every output tensor with its inputs, its types and its parameters.
 *
 * Everything is read off names and shapes, so no description of an architecture is needed. Where mergekit defines a
 * behaviour (which model is the base, what a gradient means outside the layers, how embeddings of different height are
 * cut), it is kept.
 */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { type Recipe, recipeReferences, type TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { countTokens, vocabularyOf } from "../../data/vocabulary.ts";
import { UserError } from "../../errors.ts";
import { impossibleValues } from "../../model/config-values.ts";
import {
  configValue,
  isBuffer,
  isHead,
  isTied,
  layerOf,
  type NamedModel,
  nameModels,
  resolve,
  tiedTo,
  tokenTable,
} from "../../model/names.ts";
import type { MergeMethod } from "../contract.ts";
import type { ValuedTask } from "../job/task.ts";
import { type AlignedModels, type Alignment, alignedModels } from "../structure/aligned-models.ts";
import { planOutline } from "../structure/plan-outline.ts";
import { checkTemplate, setTemplate } from "../vocabulary/chat-templates.ts";
import { type Revised, revise } from "../vocabulary/revise.ts";
import { replaceTokenizer } from "../vocabulary/tokenizer-files.ts";
import { type Aligned, align, type Operand } from "./align.ts";
import { filesDonor, leftOut } from "./carried-files.ts";
import { dequantizedRemarks } from "./dequantized.ts";
import { Missing } from "./missing.ts";
import { assignModules } from "./modules.ts";
import { Notes } from "./notes.ts";
import { outputFiles, type RestackedLayers } from "./output-config.ts";
import { type Input, type SectionContext, sectionsOf } from "./sections.ts";
import { type Slot, slicedSlots, wholeSlots } from "./slots.ts";
import { tensorParameters } from "./tensor-parameters.ts";
import { tensorTypes } from "./tensor-types.ts";
import { refuseIdle, unmatchedFilters, unusedParameters } from "./unused-parameters.ts";

export interface MergePlan {
  readonly method: string;
  /** In the order in which they are written: that of the base, or of the first model. */
  readonly tensors: readonly ValuedTask[];
  /** Every input, the base too, as the user wrote it. A model that counts twice is listed twice. */
  readonly models: readonly string[];
  /** The same models under the names of the merge, in the order that `modelIndex` counts. */
  readonly inputs: readonly NamedModel[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly warnings: readonly string[];
  /** What must be known of the models before their weights are merged: in which order their parts are taken. */
  readonly aligned?: Pick<AlignedModels, "prepare" | "bytes">;
}

export interface PlanOptions {
  /** Parts of the models are put in the order that goes best with the base or the first model. */
  readonly align?: Alignment;
  /** A model listed twice counts twice; without it once, as in mergekit. */
  readonly allowDuplicates?: boolean;
  /** Tensors that some model lacks are made from those that have them; without it they are refused. */
  readonly allowMissing?: boolean;
  /** The model whose files go with the result, as the user wrote it; the base or the first when left out. */
  readonly files?: string;
  /** Tensors that are each model's own, such as heads of different tasks: taken from the model that gives the files. */
  readonly own?: (name: string) => boolean;
}

type PlannedMethod = Pick<MergeMethod, "name" | "models" | "base" | "heights" | "options" | "outline">;

/**
 * `opened` has every model of the recipe under its `referenceKey`. Throws a UserError when the models do not fit
 * together, a parameter is missing or has a value its type forbids.
 */
export async function planMerge(
  recipe: Recipe,
  opened: ReadonlyMap<string, Checkpoint>,
  method: PlannedMethod,
  options: PlanOptions = {},
): Promise<MergePlan> {
  refuseIdle(recipe, method);
  const warnings = [...recipe.warnings, ...unusedParameters(recipe, method)];
  if (recipe.chatTemplate) await checkTemplate(recipe.chatTemplate.wanted, recipe.chatTemplate.fail);
  const given = namedModels(recipe, opened, warnings);
  const revised =
    recipe.tokenizer && (await reviseModels(recipe.tokenizer, given, recipe.base !== undefined, warnings));
  const { models: plain, donor } = revised ?? given;
  const aligned = options.align && alignedModels(recipe, plain, donor, options.align, warnings);
  const models = aligned?.models ?? plain;

  const listed: { ref: ModelReference; occurrence: number }[] = [];
  const context: SectionContext = {
    recipe,
    method,
    model: (ref) => models.get(referenceKey(ref))!,
    indexOf: (ref, occurrence) => {
      const key = referenceKey(ref);
      const at = listed.findIndex((one) => one.occurrence === occurrence && referenceKey(one.ref) === key);
      return at >= 0 ? at : listed.push({ ref, occurrence }) - 1;
    },
    allowDuplicates: options.allowDuplicates ?? false,
    warnings,
  };
  const inputs = () => {
    const all = listed.map(({ ref }) => context.model(ref));
    return { models: all.map(({ ref }) => ref), inputs: all };
  };
  if (method.outline) {
    const built = await planOutline({ recipe, method, donor, context, files: options.files });
    return { method: method.name, ...built, ...inputs(), warnings, ...(aligned && { aligned }) };
  }
  const slots = slotsOf(recipe, donor, context);
  const notes = new Notes();
  const missing = new Missing(options.allowMissing ?? false, notes);
  const giver = options.files === undefined ? donor : filesDonor(options.files, models.values());
  const own = options.own && { has: options.own, giver };
  const tensors = await tasksOf(slots, donor, recipe, method, { notes, missing, own });
  missing.refuse();
  const held = [...models.values()].flatMap((model) => [...model.tensors.keys()]);
  warnings.push(...unmatchedFilters(recipe, [...held, ...tensors.map(({ name }) => name)]));
  if (giver !== donor && slots.stacks.length > 0)
    throw new UserError(`--files ${giver.ref} cannot go with slices`, `the layers are counted in ${donor.ref}`);
  const ownTemplate = !recipe.chatTemplate && (!revised || revised.target.source.checkpoint === giver.checkpoint);
  warnings.push(...leftOut(giver, models.values(), { template: ownTemplate }));
  const files = filesOf(tensors, slots.stacks, giver, { models, recipe, ...(revised && { revised }) }, warnings);
  return {
    method: method.name,
    tensors,
    ...inputs(),
    files,
    warnings: [...warnings, ...notes.lines()],
    ...(aligned && { aligned }),
  };
}

/** The models under the vocabulary that the recipe chooses. */
async function reviseModels(
  tokenizer: TokenizerRecipe,
  { models, donor }: ReturnType<typeof namedModels>,
  hasBase: boolean,
  warnings: string[],
) {
  const revised = await revise(tokenizer, models, { first: donor, hasBase }, warnings);
  if (!revised) return undefined;
  const [key] = [...models].find(([, model]) => model === donor)!;
  return { ...revised, donor: revised.models.get(key)! };
}

/** The models under common names, and the one that gives the files: the base, or the first. */
function namedModels(recipe: Recipe, opened: ReadonlyMap<string, Checkpoint>, warnings: string[]) {
  const references = recipeReferences(recipe);
  const donorKey = referenceKey(recipe.base ?? references[0]!);
  const checkpoints = new Map<string, Checkpoint>();
  for (const ref of references) {
    const checkpoint = opened.get(referenceKey(ref));
    if (checkpoint === undefined) throw new RangeError(`${referenceKey(ref)} is not opened`);
    checkpoints.set(referenceKey(ref), checkpoint);
  }
  for (const checkpoint of checkpoints.values()) warnings.push(...dequantizedRemarks(checkpoint));
  const models = nameModels(checkpoints, donorKey, warnings);
  for (const { ref, config } of models.values())
    if (config) warnings.push(...impossibleValues(config, `config.json of ${ref}`));
  return { models, donor: models.get(donorKey)! };
}

interface Slots {
  readonly slots: readonly Slot[];
  readonly stacks: readonly RestackedLayers[];
  /** Tensors of the donor that no module has. */
  readonly unclaimed: readonly string[];
}

/** Tensors that are each model's own, and whose go with the result. */
interface OwnTensors {
  has(name: string): boolean;
  readonly giver: NamedModel;
}

/** The tensors of the output with their inputs and parameters, in the order in which they are written. */
async function tasksOf(
  { slots, stacks, unclaimed }: Slots,
  donor: NamedModel,
  recipe: Recipe,
  method: PlannedMethod,
  { notes, missing, own }: { notes: Notes; missing: Missing; own: OwnTensors | undefined },
): Promise<ValuedTask[]> {
  for (const name of unclaimed) notes.add(`no module has it, taken from ${donor.ref} unchanged`, name);
  const parameters = await tensorParameters(method);
  const place = placeIn(donor);
  const tasks: { task: ValuedTask; at: number }[] = [];
  for (const slot of slots) {
    if (own?.has(slot.name)) {
      const { giver } = own;
      if (giver.tensors.has(slot.name)) tasks.push({ at: place(slot.name), task: copyTask(slot.name, giver, recipe) });
      continue;
    }
    const aligned = alignSlot(slot, method, notes, missing);
    if (aligned === undefined) continue;
    const merged = aligned.kind === "merge";
    const valued = asCopy(slot, donor);
    tasks.push({
      at: place(slot.name),
      task: {
        ...mergedTask(slot.name, aligned, recipe),
        depth: slot.depth,
        layer: slot.layer,
        values: merged ? parameters.values(valued) : {},
        perModel: merged ? aligned.models.map(({ input }) => parameters.perModel(valued, input)) : [],
        ...(valued !== slot && { copyOf: valued.name }),
      },
    });
  }
  for (const name of unclaimed) tasks.push({ at: place(name), task: copyTask(name, donor, recipe) });
  // Sorting is stable: what the donor lacks comes last, in the order in which it was found.
  if (stacks.length === 0) tasks.sort((a, b) => a.at - b.at);
  return tasks.map(({ task }) => task);
}

/** The files of the output: the donor's, its config as the merge changes it. */
function filesOf(
  tensors: readonly ValuedTask[],
  stacks: readonly RestackedLayers[],
  donor: NamedModel,
  { models, recipe, revised }: Pick<Revised, "models"> & { readonly recipe: Recipe; readonly revised?: Revised },
  warnings: string[],
): Map<string, Uint8Array> {
  const dtype = recipe.outDtype ?? recipe.dtype;
  const vocabulary = revised?.rows ?? tokenRows(tensors, donor, warnings);
  const changes = {
    stacks,
    untied: isUntied(tensors, donor, models),
    ...(dtype !== undefined && { dtype }),
    ...(vocabulary !== undefined && { vocabulary }),
  };
  const files = outputFiles(donor, changes, warnings);
  if (revised) replaceTokenizer(files, donor, revised.target, warnings);
  const { wanted } = recipe.chatTemplate ?? {};
  if (wanted !== undefined) setTemplate(files, wanted, { donor, models: [...models.values()] }, warnings);
  return files;
}

/** The output's tensors, before it is known which inputs have them. */
function slotsOf(recipe: Recipe, donor: NamedModel, context: SectionContext): Slots {
  const moduleOf = assignModules(recipe.modules, donor);
  const slots: Slot[] = [];
  const stacks: RestackedLayers[] = [];
  for (const module of recipe.modules) {
    const sections = sectionsOf(module, context);
    const owns = (name: string): boolean => moduleOf(name) === module;
    if (module.body.kind === "models") slots.push(...wholeSlots(sections[0]!, donor, owns));
    else {
      const sliced = slicedSlots(sections, donor, owns);
      slots.push(...sliced.slots);
      stacks.push(sliced.stack);
    }
  }
  const unclaimed = [...donor.tensors.keys()].filter((name) => moduleOf(name) === undefined);
  return { slots, stacks, unclaimed };
}

/**
 * A tensor that is a copy of another one in every input takes that one's parameters and random numbers, so that the two
 * stay equal.
 */
function asCopy(slot: Slot, donor: NamedModel): Slot {
  const original = tiedTo(donor, slot.name);
  const { origin, inputs } = slot.section;
  const members = origin === undefined ? inputs : [origin, ...inputs];
  const everywhere = members.every(({ model }) => tiedTo(model, slot.name) === original);
  if (original === undefined || !everywhere) return slot;
  return { ...slot, name: original, nameIn: () => original };
}

/** The inputs that have the tensor, brought to one shape; undefined when none has it. */
function alignSlot(slot: Slot, method: PlannedMethod, notes: Notes, missing: Missing): Aligned<Input> | undefined {
  const { origin, inputs } = slot.section;
  const operand = (input: Input): Operand<Input> | undefined => {
    const entry = resolve(input.model, slot.nameIn(input));
    return entry && { input, model: input.model, entry };
  };
  const base = origin && operand(origin);
  const present = inputs.map(operand).filter((found) => found !== undefined);
  if (base === undefined && present.length === 0) return undefined;
  const has = base ?? present[0]!;
  const kept = !isFloat(has.entry.dtype) || isBuffer(slot.name, has.entry.shape);
  for (const input of inputs) {
    if (!kept && !present.some((found) => found.input === input)) missing.add(input.model, has.model, slot.name);
  }
  if (!kept && origin !== undefined && base === undefined) missing.addBase(origin.model, has.model, slot.name);
  return align(slot.name, base, present, method, origin !== undefined, notes);
}

function mergedTask(name: string, aligned: Aligned<Input>, recipe: Recipe) {
  const stored = (aligned.base ?? aligned.models[0]!).entry;
  const [rows, columns] = aligned.shape;
  return {
    name,
    shape: aligned.shape,
    kind: aligned.kind,
    ...tensorTypes(name, stored, recipe),
    ...(aligned.base !== undefined && { base: aligned.base.entry }),
    models: aligned.models.map(({ entry }) => entry),
    modelIndex: aligned.models.map(({ input }) => input.index),
    ...(aligned.twins && { twins: aligned.twins.map(({ model, entry }) => ({ ref: model.ref, entry })) }),
    ...(aligned.cropped && { crop: { rows: rows!, columns: columns! } }),
  };
}

function copyTask(name: string, donor: NamedModel, recipe: Recipe): ValuedTask {
  const entry = donor.tensors.get(name)!;
  return {
    ...{ name, shape: entry.shape, kind: "copy", ...tensorTypes(name, entry, recipe) },
    ...{ base: entry, models: [], modelIndex: [], layer: layerOf(name)?.index, values: {}, perModel: [] },
  };
}

/** Place of a name in a model; unknown names come last. */
function placeIn(model: NamedModel): (name: string) => number {
  const places = new Map([...model.tensors.keys()].map((name, i) => [name, i]));
  return (name) => places.get(name) ?? places.size;
}

/** Rows of the token embedding where they are not those that the donor's config states. */
function tokenRows(tensors: readonly ValuedTask[], donor: NamedModel, warnings: string[]): number | undefined {
  const table = tokenTable(donor);
  const planned = table && tensors.find(({ name }) => name === table.name);
  const rows = planned?.shape[0];
  if (rows === undefined || rows === table!.entry.shape[0]) return undefined;
  const known = vocabularyOf(donor.checkpoint);
  const tokens = known && countTokens(known);
  if (tokens !== undefined && tokens > rows) {
    warnings.push(`the tokenizer of ${donor.ref} has ${tokens} tokens but the merged embedding only ${rows} rows`);
  }
  return rows;
}

/** Whether a head is written that is not the embedding, though the donor has one tensor for both. */
function isUntied(tensors: readonly ValuedTask[], donor: NamedModel, models: ReadonlyMap<string, NamedModel>): boolean {
  if (!tensors.some(({ name }) => isHead(name))) return false;
  const ownHead = [...donor.tensors.keys()].some(isHead);
  if (ownHead && configValue(donor.config, "tie_word_embeddings") !== true) return false;
  return [...models.values()].some((model) => !isTied(model));
}
