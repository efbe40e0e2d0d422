/** Trains a reward model: a language model with a head in place of its own, on rows of answers. */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Json } from "../../model/architecture.ts";
import { classifierConfig, isKnownClass } from "../../model/decoder-classifier.ts";
import { describeConfig } from "../../model/description.ts";
import type { Model } from "../../model/model.ts";
import { describeModel } from "../../run/open-model.ts";
import { makesAdapter } from "../../run/training/adapter-choice.ts";
import type { Built, Opened, RunContext, Technique, TrainingData, Work } from "../../run/training/technique.ts";
import { dividedGroups, heldOutBatches } from "../held-out.ts";
import { type RewardBatch, rewardBatch, rewardBatches } from "./batches.ts";
import { headOf, type RewardMethod } from "./contract.ts";
import { rewardObjective } from "./objective.ts";
import { readRewardRows } from "./rows.ts";

/** What is opened, as far as a config is made of it. */
interface Given {
  readonly ref: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The technique of a reward model, for `runTraining`. */
export function rewardTechnique(
  run: RunContext,
  model: string,
  chosen: Bound<RewardMethod>,
): Technique<RewardBatch, TrainingData<RewardBatch>> {
  const { method, values } = chosen;
  const head = { isNew: false };
  return {
    script: "align",
    method: method.name,
    model,
    async changed(json, given) {
      const made = await withRewardHead(run, chosen, json, given);
      head.isNew = made !== json;
      return made;
    },
    data: (opened) => readData(run, chosen, opened),
    async work(built) {
      const zero = (values as { readonly head: "normal" | "zero" }).head === "zero";
      if (zero && head.isNew && !built.resumed && !run.dryRun) zeroHead(built.model);
      return setUp(run, chosen, built);
    },
  };
}

/** The config with the head of the method. Throws UserError for a model that has another one, or can have none. */
async function withRewardHead(
  { options, warn }: Pick<RunContext, "options" | "warn">,
  { method, values }: Bound<RewardMethod>,
  json: Json,
  { ref, files }: Given,
): Promise<Json> {
  const { architecture, sizes } = await describeConfig(json, ref);
  const head = headOf(method);
  const labels = method.labels(values);
  if (architecture.classHead !== undefined) {
    if (architecture.classHead === head && sizes.outputs === labels) return json;
    const has = `${ref} has a head of ${sizes.outputs} labels for ${architecture.classHead === "tokens" ? "every token" : "a whole text"}`;
    throw new UserError(
      `${has}, and ${method.name} trains one of ${labels} for ${head === "tokens" ? "every token" : "a whole text"}`,
      "start from a language model, or take the method that its head is of",
    );
  }
  if (architecture.task !== "causal-lm" || architecture.partOf)
    throw new UserError(
      `a reward model is made of a language model of one part, and ${ref} is a ${architecture.partOf?.whole ?? architecture.task}`,
      "name the checkpoint of a decoder",
    );
  if (!isKnownClass(architecture, head))
    warn(`transformers has no class for a ${architecture.title} with such a head: the result is read here alone`);
  // What an adapter goes on has the padding of its own config.
  const isSaid = typeof json.pad_token_id === "number" || makesAdapter(options);
  const padding = isSaid ? undefined : (await describeModel({ ref, files, json }, options)).tools?.tokenizer?.pad;
  return classifierConfig(json, architecture, { head, labels, ...(padding === undefined ? {} : { padding }) });
}

async function readData(
  run: Pick<RunContext, "options">,
  { method, values }: Bound<RewardMethod>,
  opened: Opened,
): Promise<TrainingData<RewardBatch>> {
  const { answers, order } = opened;
  if (!answers) throw new TypeError("a reward model reads answers");
  const separator = method.reads === "steps" ? method.separator(values) : "";
  const groups = dividedGroups(run, opened);
  const read = await readRewardRows(groups.trained, answers, { reads: method.reads, separator });
  const held = await readRewardRows(groups.held, answers, { reads: method.reads, separator });
  const pad = answers.tokenizer?.pad ?? 0;
  return {
    source: rewardBatches(read, order, pad),
    heldOut: heldOutBatches(held, run.options.batch_size, (items) => rewardBatch(items, pad)),
  };
}

/** Sets a head that is trained to 0. */
function zeroHead(model: Model): void {
  const modules = model.architecture.headModules ?? [];
  for (const parameter of model.trainable())
    if (modules.some((module) => parameter.name.replace("base_model.model.", "").startsWith(`${module}.`)))
      parameter.write(new Float32Array(parameter.size));
}

const setUp = (
  { options }: Pick<RunContext, "options">,
  chosen: Bound<RewardMethod>,
  { model }: Built,
): Work<RewardBatch> => ({ objective: rewardObjective({ model, chosen, recompute: options.recompute }) });
