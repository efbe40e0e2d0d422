/** `merge gate`: trains a gate between an accurate and a robust classifier of numbers. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { attackOf, checkPgd } from "../../run/adversarial/options.ts";
import { checkMixed } from "../../run/measuring/mixed-model.ts";
import { Gate, type GateSettings, gateFeatures } from "../../run/mixing/gate.ts";
import { writeGate } from "../../run/mixing/gate-file.ts";
import { trainGate } from "../../run/mixing/train-gate.ts";
import { openModel } from "../../run/open-model.ts";
import { numberBatches } from "../../run/training/batch-source.ts";
import { humanBytes } from "../../text/format.ts";
import type { GATE } from "./gate-options.ts";

type GateContext = Context<typeof GATE>;
const EPOCHS = 3;

/** Throws UserError for options that do not go together. */
function settingsOf({ options, args }: GateContext): GateSettings {
  const { least, span, scale, bias, accurate_sharpness: accurate, robust_sharpness: robust } = options;
  if (args.length !== 2)
    throw new UserError(
      `a gate stands between two models, found ${args.length}`,
      "name the accurate one, then the robust one",
    );
  if (least + span >= 1)
    throw new UserError(`--least ${least} and --span ${span} leave nothing to the accurate model`, "lower one of them");
  if (options.steps !== undefined && options.epochs !== undefined)
    throw new UserError("--steps and --epochs both say how long", "leave one of them out");
  checkPgd(options);
  return { least, span, scale, bias, sharpness: { accurate, robust } };
}

/** Opens both models and reads the rows; no weights. Throws UserError where they cannot be mixed. */
async function openBoth(context: GateContext) {
  const { options } = context;
  const opened = [];
  for (const ref of context.args) {
    const model = await openModel(ref, {}, (text) => context.warn(text));
    context.onExit(() => model.checkpoint.close());
    if (!model.examples.shape)
      throw new UserError(`${ref} reads texts, which are not moved`, "name classifiers of vectors or images");
    opened.push(model);
  }
  const [accurate, robust] = [opened[0]!, opened[1]!];
  checkMixed(accurate, robust, { model: accurate.checkpoint.files, other: robust.checkpoint.files });
  const examples = await loadExamples(groupsOf(options.data, "--data", options.columns), accurate.examples);
  const rows = examples.flatMap((example) => ("x" in example ? [example] : []));
  return { accurate, robust, rows };
}

async function loadFrozen(gpu: Gpu, { checkpoint }: Awaited<ReturnType<typeof openModel>>): Promise<Model> {
  return Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true });
}

export async function mergeGate(context: GateContext): Promise<Outcome> {
  const { options, out, signal, seed } = context;
  const settings = settingsOf(context);
  refuseInputs(out, [...context.args, ...options.data.map((data) => data.slice(data.indexOf("=") + 1))]);
  const { accurate, robust, rows } = await openBoth(context);
  const source = numberBatches(rows, options.batch_size, seed);
  const steps = options.steps ?? Math.max(1, Math.round((options.epochs ?? EPOCHS) * source.batchesPerEpoch));
  const attack = attackOf(options, rows, seed);
  if (context.dryRun) {
    context.print(`${rows.length} rows, ${steps} steps, moved by ${attack.norm} ${attack.epsilon}`);
    context.json({ rows: rows.length, steps, norm: attack.norm, epsilon: attack.epsilon, out });
    return {};
  }
  const step = { script: "merge gate", version: context.version, options: context.chosen, seed };
  const read = [
    { checkpoint: accurate.checkpoint, role: "accurate" },
    { checkpoint: robust.checkpoint, role: "robust" },
  ];
  const lineage = lineageOf(step, read, (text) => context.warn(text));
  await tryTarget(out);
  const gpu = await openGpu({ device: context.device });
  const models = { accurate: await loadFrozen(gpu, accurate), robust: await loadFrozen(gpu, robust) };
  const features = gateFeatures(models.accurate) + gateFeatures(models.robust);
  const gate = Gate.fresh(gpu, settings, { features, hidden: options.hidden }, seed);
  context.progress.start({ total: steps * Math.min(options.batch_size, rows.length), unit: "rows" });
  const loss = await trainGate({ ...models, gate }, source, {
    attack,
    loss: { bce: options.gate_weight, ce: options.class_weight, product: options.product_weight },
    cleanWeight: options.clean_weight,
    lr: options.lr,
    steps,
    seed,
    signal,
    name: "gate",
    done: (count) => context.progress.advance(count),
  });
  signal.throwIfAborted();
  context.progress.done();
  const bytes = await writeGate(gpu, gate, out, lineage);
  for (const held of [gate, models.accurate, models.robust]) held.free();
  context.json({ rows: rows.length, steps, loss, out, bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})` };
}
