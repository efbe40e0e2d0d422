/**
 * `compress experts`: a mixture with fewer experts in every layer, those that rows need most. `merge msmoe` merges them
 * instead.
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { type KeptExperts, type Mixture, mixtureOf, withExperts } from "../experts/mixture.ts";
import type { EXPERTS } from "../experts/options.ts";
import { readRecipe, recipeText } from "../experts/recipe.ts";
import { bestExperts, lossesOf, type Scores, usesOf } from "../experts/scores.ts";
import { bytesOf, writeCheckpoint, writtenAs } from "./write-checkpoint.ts";

type ExpertsContext = Context<typeof EXPERTS>;

/** Throws UserError for options that do not go together. */
function checkOptions({ keep, recipe, calibration }: ExpertsContext["options"]): void {
  if (recipe !== undefined) {
    if (keep !== undefined || calibration)
      throw new UserError("--recipe says which experts stay", "leave out --keep and --calibration");
    return;
  }
  if (keep === undefined) throw new UserError("nothing says how many experts stay", "give --keep 4, or --recipe");
  if (!calibration) throw new UserError("experts go by what they do on rows", "give --calibration rows.jsonl");
}

/** Throws UserError where nothing would go. */
function checkKeep({ keep }: ExpertsContext["options"], { experts, checkpoint }: Mixture): void {
  if (keep !== undefined && keep >= experts)
    throw new UserError(`--keep ${keep}: ${checkpoint.ref} has ${experts} experts in a layer`, "keep fewer");
}

/** Scores of all experts on the rows. */
async function measured(
  context: ExpertsContext,
  opened: Awaited<ReturnType<typeof openModel>>,
  { experts, modules }: Mixture,
): Promise<Scores> {
  const { options, signal } = context;
  const groups = groupsOf(options.calibration, "--calibration", options.columns);
  const { batches } = await readBatches(groups, opened, options.batch_size);
  if (batches.length === 0) throw new UserError("--calibration has no rows", "name a file with some");
  const gpu = await openGpu({ device: context.device, dry: false });
  const warn = (text: string) => context.warn(text);
  const model = await Model.load(gpu, opened.checkpoint, { dtype: "f32", freeze: () => true, warn });
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const passes = options.by === "use" ? 1 : 1 + experts * modules.size;
  context.progress.start({ total: passes * rows, unit: "rows" });
  const reading = { ref: opened.ref, signal, done: (count: number) => context.progress.advance(count) };
  const scores = await (options.by === "use" ? usesOf : lossesOf)(model, batches, reading);
  context.progress.done();
  model.free();
  return scores;
}

/** The first of each layer: what is left is as large, whichever stay. */
const anyExperts = ({ modules }: Mixture, keep: number): KeptExperts =>
  new Map([...modules.keys()].map((layer) => [layer, Array.from({ length: keep }, (_, e) => e)]));

export async function experts(context: ExpertsContext): Promise<Outcome> {
  const { options, out } = context;
  const ref = context.args[0] ?? "-";
  checkOptions(options);
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint } = opened;
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref]);
  if (isStream(checkpoint))
    throw new UserError("compress experts reads a model twice, and stdin is a stream", "save it to a file");
  if ([...checkpoint.tensors.values()].some(({ patch }) => patch))
    throw new UserError(
      `${ref} has an adapter, which is not copied`,
      "merge it into its base first: bun run merge base+adapter --method passthrough -o merged/",
    );
  const mixture = mixtureOf(checkpoint);
  checkKeep(options, mixture);
  const given = options.recipe === undefined ? undefined : await readRecipe(options.recipe, mixture);
  const planned = await withExperts(mixture, given ?? anyExperts(mixture, options.keep ?? 1));
  const bytes = { before: bytesOf(checkpoint), after: bytesOf(planned) };
  if (context.dryRun) {
    if (options.json) context.json({ experts: mixture.experts, layers: mixture.modules.size, bytes });
    else context.print(`${humanBytes(bytes.before)} -> ${humanBytes(bytes.after)}`);
    return {};
  }
  const scores = given ? undefined : await measured(context, opened, mixture);
  const kept = given ?? bestExperts(scores ?? new Map(), options.keep ?? 1);
  const made = await withExperts(mixture, kept);
  const count = [...kept.values()][0]?.length ?? 0;
  if (count < mixture.perToken)
    context.warn(`a token takes ${count} experts instead of ${mixture.perToken}: there are no more`);
  const { write_recipe: recipeFile } = options;
  const recipe = recipeFile === undefined ? undefined : textOutput(recipeFile, "--write-recipe");
  recipe?.write(recipeText(kept, scores));
  const step = { script: "compress experts", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  await writeCheckpoint(context, made, lineage, writtenAs(options));
  recipe?.commit();
  const layers = [...kept].map(([layer, own]) => ({
    ...{ layer, experts: own },
    ...(scores ? { scores: [...(scores.get(layer) ?? [])] } : {}),
  }));
  context.json({ experts: mixture.experts, kept: layers, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes.after)})`,
    told: `${count} of ${mixture.experts} experts in ${kept.size} layers`,
    log: { experts: mixture.experts, kept: count },
  };
}
