/** `train stages`: layers of a perceptron, one after the other, as a file of stages says. */
import path from "node:path";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { type ExampleReader, loadExamples } from "../../data/examples.ts";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import { start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { makeCache, type NumberExample } from "../layers/stage-outputs.ts";
import { checkNames, readStages, type Stage } from "../layers/stage-spec.ts";
import { beginStage, checkStage, type StageWork, stageSource, trainStage } from "../layers/stages.ts";
import type { STAGES } from "../layers/stages-options.ts";

/** Weights that can be trained. Throws UserError for a model that is no plain perceptron. */
function namesOf({ architecture, config, ref }: DescribedModel): string[] {
  const specs = architecture.parameters(config);
  if (architecture.name !== "mlp")
    throw new UserError(`train stages trains perceptrons, and ${ref} is ${architecture.name}`, "model_type mlp is one");
  if (specs.some(({ running }) => running))
    throw new UserError(
      `${ref} has batch norms, whose statistics would follow the rows below a stage, too`,
      "leave them out of its config",
    );
  return specs.map(({ name }) => name);
}

interface Read {
  readonly stage: Stage;
  readonly examples: readonly NumberExample[];
  readonly groups: readonly GroupReference[];
}

async function readStage(stage: Stage, reader: ExampleReader, columns: string | undefined): Promise<Read> {
  const groups = parseGroups(stage.data, columns, `${stage.place}: data`);
  const examples = await loadExamples(groups, { ...reader, takesNumbers: true });
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  if (numbers.length === 0)
    throw new UserError(`${stage.place}: data has no rows`, "give rows of x and label, or of x and y");
  return { stage, examples: numbers, groups };
}

/** All stages as work to do, nothing of which is done. Throws UserError for what does not fit. */
async function worksOf(
  { options, picks, seed }: Context<typeof STAGES>,
  model: Model,
  read: readonly Read[],
): Promise<StageWork[]> {
  const works: StageWork[] = [];
  for (const [i, { stage, examples, groups }] of read.entries()) {
    const name = stage.loss ?? (model.task === "regressor" ? "mse" : "ce");
    const work: StageWork = {
      ...{ model, examples, seed, train: stage.train, place: stage.place, name: `stage ${i + 1}` },
      groups: groups.map((group) => group.name),
      loss: bindDefaults(await loadMethod("loss", name)),
      optimizer: picks.optimizer[0]!,
      steps: stage.steps ?? options.steps,
      lr: stage.lr ?? options.lr,
      batchSize: stage.batchSize ?? options.batch_size,
      file: options.cache === undefined ? undefined : path.join(options.cache, `stage-${i + 1}.safetensors`),
    };
    checkStage(work);
    works.push(work);
  }
  return works;
}

/** What a stage trains from, before it begins. */
function plan(work: StageWork) {
  const from = beginStage(work.model, work.train, work.examples[0]!)?.note ?? "rows";
  const trained = work.model.trainable();
  const weights = trained.reduce((sum, { size }) => sum + size, 0);
  return { from, weights, rows: work.examples.length, steps: work.steps ?? stageSource(work).batchesPerEpoch };
}

export async function stages(context: Context<typeof STAGES>): Promise<Outcome> {
  const { args, options, seed, out, progress, signal } = context;
  const [file, ref, ...more] = args;
  if (file === undefined || more.length > 0)
    throw new UserError("train stages takes a file of stages, and a model", "bun run train stages layers.json model/");
  const warn = (text: string) => context.warn(text);
  const spec = readStages(file);
  const begun = await start({ init: options.init, model: ref, seed, warn, dtype: "f32" });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, {}, warn);
  const names = namesOf(described);
  for (const stage of spec) checkNames(stage, names);
  const read: Read[] = [];
  for (const stage of spec) read.push(await readStage(stage, described.examples, options.columns));
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await begun.load(gpu);
  const works = await worksOf(context, model, read);
  const plans = works.map(plan);
  for (const [i, { from, weights, rows, steps }] of plans.entries()) {
    const kept = from === "rows" && i > 0 && options.cache !== undefined ? "; nothing below it to keep" : "";
    context.info(`stage ${i + 1}: ${weights} weights, ${steps} steps on ${rows} rows, from ${from}${kept}`);
  }
  if (context.dryRun) {
    context.json({ stages: plans });
    return {};
  }
  if (options.cache !== undefined) makeCache(options.cache);
  progress.start({ total: plans.reduce((sum, { steps }) => sum + steps, 0), unit: "steps" });
  const told: Record<string, unknown>[] = [];
  for (const [i, work] of works.entries()) {
    const { cache, loss, activations } = await trainStage(work, {
      ...{ signal, warn, log: context.log, name: work.place },
      advice: `lower lr of ${work.name}`,
      onStep: () => progress.advance(1),
    });
    signal.throwIfAborted();
    if (cache === "again") context.info(`${work.file} was of other weights or rows, and is written again`);
    const stage = { ...plans[i], loss, cache, activations };
    context.log.event("stage", stage);
    told.push(stage);
  }
  progress.done();
  for (const parameter of model.parameters.values()) parameter.trainable = true;
  const step = { script: "train stages", version: context.version, options: context.chosen, seed };
  const data = [...new Set(spec.flatMap((stage) => stage.data))].map((ref) => ({ ref, role: "data" }));
  const others = [...begun.others, { ref: file, role: "stages" }, ...data];
  const lineage = lineageOf(step, begun.read, warn, others);
  const bytes = await saveModel(model, out, { files: described.files, lineage });
  model.free();
  context.json({ stages: told, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `${told.length} stages, loss ${Number(told.at(-1)?.loss).toFixed(4)}`,
  };
}
