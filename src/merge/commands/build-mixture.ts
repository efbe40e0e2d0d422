/** From a recipe of experts to the checkpoint: models, plan, rows of routers, tensors one after the other. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import {
  asksForPrompts,
  type ExpertRecipe,
  type MoeRecipe,
  moeReferences,
} from "../../checkpoint/lineage/recipe/experts-recipe.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { createWriter, writtenBytes } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { isTokens } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { describeModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { centroidGates } from "../experts/centroid-gates.ts";
import { type DenseModels, sameExperts } from "../experts/dense-model.ts";
import { chooseForm } from "../experts/forms.ts";
import { gateWarnings, measureGates } from "../experts/gate-checks.ts";
import { drawnGates, embeddingGates, type Gates, hiddenGates, isDrawn, type PromptedExpert } from "../experts/gates.ts";
import type { MOE } from "../experts/options.ts";
import { checkMixture, type Expert, type MixtureParts, planMixture, type RouterRows } from "../experts/plan.ts";
import { printMixture } from "../experts/report.ts";
import { writeMade } from "../experts/values.ts";
import { withoutShards, writeOptions } from "../write-options.ts";

type MoeContext = Context<typeof MOE>;

export interface Asked {
  readonly recipe: MoeRecipe;
  /** The recipe as it was written. */
  readonly text: string | undefined;
  readonly models: DenseModels;
  /** Whether equal experts are wanted. */
  readonly allowed: boolean;
}

/** Models of the recipe and what the result is to be. Throws UserError for what does not fit. */
async function partsOf(context: MoeContext, { recipe, models, allowed }: Asked): Promise<Omit<MixtureParts, "rows">> {
  const expert = async ({ ref, noise, scale }: ExpertRecipe): Promise<Expert> => ({
    ...{ model: await models.open(ref), noise, scale },
  });
  const base = await models.open(recipe.base);
  const experts: Expert[] = [];
  for (const each of recipe.experts) experts.push(await expert(each));
  const shared: Expert[] = [];
  for (const each of recipe.shared) shared.push(await expert(each));
  const all = [base, ...[...experts, ...shared].map(({ model }) => model)];
  const form = chooseForm(
    recipe.architecture,
    all.map(({ ref, type }) => ({ ref, type })),
    shared.length,
  );
  const parts = { form, base, experts, shared, perToken: recipe.perToken, dtype: recipe.dtype, seed: context.seed };
  checkMixture(parts);
  const upcycled = recipe.file === "command line" && context.options.experts !== undefined;
  if (!upcycled) await expectDifferent(experts, allowed, (text) => context.warn(text));
  if ((experts.length & (experts.length - 1)) !== 0)
    context.warn(`${experts.length} experts are no power of two, which some runtimes ask for`);
  return parts;
}

/** Throws UserError for two experts that are the same, unless that is wanted. */
async function expectDifferent(
  experts: readonly Expert[],
  allowed: boolean,
  warn: (text: string) => void,
): Promise<void> {
  for (const [b, second] of experts.entries())
    for (const [a, first] of experts.slice(0, b).entries()) {
      if (first.noise > 0 || second.noise > 0 || first.scale !== second.scale) continue;
      const streamed = isStream(first.model.checkpoint) || isStream(second.model.checkpoint);
      if (first.model !== second.model && (streamed || !(await sameExperts(first.model, second.model)))) continue;
      const text = `experts ${a} and ${b} (${first.model.ref}, ${second.model.ref}) have the same weights`;
      if (!allowed)
        throw new UserError(
          text,
          "give each a model of its own, or --allow-identical; copies of one model are made by --experts",
        );
      warn(text);
      return;
    }
}

const nameOf = (kind: string, i: number, { ref }: ExpertRecipe): string => `${kind} ${i} (${referenceKey(ref)})`;

const prompted = (kind: string, experts: readonly ExpertRecipe[]): PromptedExpert[] =>
  experts.map((expert, i) => ({ ...expert, name: nameOf(kind, i, expert) }));

/** Rows of all routers, and of the shared expert's gate behind them, where it has prompts. */
async function gatesOf(
  context: MoeContext,
  { recipe }: Asked,
  { base, experts, seed }: Omit<MixtureParts, "rows">,
  gpu: () => Promise<Gpu>,
): Promise<Gates> {
  const { options, signal } = context;
  const { mode } = recipe;
  const { layers, width } = base.sizes;
  if (isDrawn(mode)) return drawnGates(mode, { layers, width, experts: experts.length, seed });
  const load = async () =>
    Model.load(await gpu(), base.checkpoint, { freeze: () => true, offload: options.offload, dtype: "keep" });
  if (mode === "centroid") {
    const described = await describeModel(base.checkpoint, options, (text) => context.warn(text));
    const groups = groupsOf(options.calib!, "--calib", options.columns);
    const batches = (await readBatches(groups, described, options.batch_size)).batches.filter(isTokens);
    const settings = { experts: experts.length, input: options.gate_input, most: options.calib_tokens, seed, signal };
    return withModel(load, (model) => centroidGates(model, batches, settings));
  }
  const asked = [...prompted("expert", recipe.experts), ...promptedShared(recipe)];
  const described = await describeModel(base.checkpoint, options, (text) => context.warn(text));
  const { tokenizer } = described.tools!;
  if (!tokenizer)
    throw new UserError(
      `${base.ref} has no tokenizer.json, and gate_mode ${mode} reads prompts`,
      "name one with --tokenizer, or set gate_mode to random",
    );
  if (mode === "cheap_embed") return embeddingGates(base, tokenizer, asked);
  const settings = { average: mode === "hidden_avg", input: options.gate_input, signal };
  return withModel(load, (model) => hiddenGates(model, tokenizer, asked, settings));
}

const promptedShared = ({ shared }: MoeRecipe): PromptedExpert[] =>
  prompted("shared expert", shared).filter(({ positive }) => positive.length > 0);

async function withModel(load: () => Promise<Model>, work: (model: Model) => Promise<Gates>): Promise<Gates> {
  const model = await load();
  try {
    return await work(model);
  } finally {
    model.free();
  }
}

/** Rows as the plan asks for them. A shared expert without prompts has a gate of zeros, which lets one half through. */
function rowsOf(gates: Gates, experts: number, width: number): RouterRows {
  const of = (layer: number) => gates[layer]!;
  return {
    router: (layer) => of(layer).slice(0, experts * width),
    sharedGate: (layer) => {
      const row = of(layer).slice(experts * width);
      return row.length > 0 ? row : new Float32Array(width);
    },
  };
}

/** What the lineage of the result says of this step. */
async function historyOf(context: MoeContext, { recipe, text, models }: Asked) {
  const { shared, ...chosen } = withoutShards(context.chosen);
  const step = {
    script: "merge moe",
    version: context.version,
    options: text === undefined ? chosen : { ...chosen, recipe: text },
    seed: context.seed,
  };
  const read: { checkpoint: Checkpoint; role: string }[] = [];
  const add = async (ref: ModelReference, role: string) => read.push({ ...(await models.open(ref)), role });
  if (text !== undefined) for (const ref of moeReferences(recipe)) await add(ref, "model");
  else {
    // As typed: copies of one model are made of one argument.
    await add(recipe.base, "model");
    if (chosen.experts === undefined) for (const { ref } of recipe.experts) await add(ref, "model");
    if (shared !== undefined) await add(recipe.shared[0]!.ref, "shared");
  }
  const inputs = read.map(({ checkpoint, role }) => ({ checkpoint, role }));
  return lineageOf(step, inputs, (warning) => context.warn(warning));
}

const writing = (context: MoeContext) =>
  writeOptions({ options: { ...context.options }, warn: (text) => context.warn(text) });

/** Builds the mixture, or says in a dry run what that takes. */
export async function buildMixture(context: MoeContext, asked: Asked): Promise<Outcome> {
  const { recipe } = asked;
  const parts = await partsOf(context, asked);
  const { base, experts, form } = parts;
  let rows: RouterRows | undefined;
  const plan = await planMixture({ ...parts, rows: () => rows! });
  for (const remark of plan.remarks) context.warn(remark);
  if (form.shared.gated && asksForPrompts(recipe.mode) && promptedShared(recipe).length === 0)
    context.warn("the shared expert has no positive_prompts: its gate is zeros, which lets half of it through");
  const lineage = await historyOf(context, asked);
  // What a recipe names the frame does not know; other shards read it while this one is written.
  if (context.options.shard !== undefined)
    refuseInputs(
      context.out,
      moeReferences(recipe).flatMap(({ path, adapter }) => [path, ...(adapter ? [adapter.path] : [])]),
    );
  const output = { tensors: plan.tensors, files: plan.files, lineage };
  if (context.dryRun) {
    const written = writtenBytes(context.out, output, writing(context));
    const gates = (gpu: () => Promise<Gpu>) => gatesOf(context, asked, parts, gpu);
    await printMixture(context, { ...parts, plan, written, gates });
    return {};
  }
  const hub = { warn: (text: string) => context.warn(text), progress: context.progress };
  // Header before work: the next command in a pipe can refuse a bad match within the first second.
  const writer = await createWriter(context.out, output, { ...writing(context), hub });
  context.onExit((ok) => (ok ? undefined : writer.abort()));
  const gates = await gatesOf(context, asked, parts, () => openGpu({ device: context.device }));
  rows = rowsOf(gates, experts.length, base.sizes.width);
  const routed = gates.map((layer) => layer.subarray(0, experts.length * base.sizes.width));
  const names = recipe.experts.map((expert, i) => nameOf("expert", i, expert));
  for (const warning of gateWarnings(measureGates(routed, experts.length), names)) context.warn(warning);
  context.progress.start({ total: writer.tensors.reduce((sum, { bytes }) => sum + bytes, 0), unit: "bytes" });
  const advance = (bytes: number, name: string) => context.progress.advance(bytes, name);
  const remarks = await writeMade(writer, plan.tensors, context.signal, advance);
  await writer.finish();
  context.progress.done();
  for (const remark of remarks) context.warn(remark);
  for (const { checkpoint } of asked.models.opened) if (isStream(checkpoint)) await checkpoint.finish();
  context.json({
    ...{ out: context.out, architecture: form.name, experts: experts.length, experts_per_token: recipe.perToken },
    ...{ gate_mode: recipe.mode, bytes: writer.bytes, tensors: writer.tensors.length },
  });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(writer.bytes)})` };
}
