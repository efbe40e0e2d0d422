/** `adapt nct`: an adapter by which a frozen one-step generator obeys a control, trained on noise alone. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind, bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { Model } from "../../model/model.ts";
import { prepareSave, saveResult } from "../../model/save.ts";
import { noiseSource } from "../../run/denoising/noise-source.ts";
import { type DescribedModel, describeModel, openModel } from "../../run/open-model.ts";
import { start } from "../../run/training/starting-model.ts";
import { trainModel } from "../../run/training/train-model.ts";
import { humanBytes } from "../../text/format.ts";
import { nctObjective } from "../control/consistency.ts";
import type { NCT } from "../control/options.ts";

/** Throws UserError for a model that is no denoiser, and for a classifier that does not read its rows. */
function check({ task, ref, architecture, sizes }: DescribedModel, control: DescribedModel): void {
  if (task !== "denoiser")
    throw new UserError(
      `adapt nct adds a control to a denoiser, and ${ref} is a ${architecture.name}`,
      "train --loss ict makes a generator of one step",
    );
  const { example } = control.sizes;
  if (control.task !== "classifier" || example === undefined)
    throw new UserError(`--classifier ${control.ref} is no classifier of numbers`, "train one on rows of x and label");
  const [own = 0, read] = [sizes.example?.[0], example.reduce((all, side) => all * side, 1)];
  if (read !== own)
    throw new UserError(
      `--classifier ${control.ref} reads rows of ${read} numbers, and ${ref} makes rows of ${own}`,
      "train a classifier of such rows",
    );
}

export async function nct(context: Context<typeof NCT>): Promise<Outcome> {
  const { options, seed, out, progress, signal } = context;
  const warn = (text: string) => context.warn(text);
  const judge = await openModel(options.classifier, {}, warn);
  context.onExit(() => judge.checkpoint.close());
  const classes = judge.sizes.outputs;
  const type = bind(await loadMethod("adapter", "control"), { control_size: classes, control_rank: options.rank });
  const begun = await start({
    ...{ model: context.args[0] ?? "-", init: undefined, neverNew: true, adapter: "control", adapterType: type },
    ...{ seed, warn },
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, {}, warn);
  check(described, judge);
  if (context.dryRun) {
    context.print(`${options.steps} steps of ${options.batch_size} noises, ${classes} things to ask for`);
    context.json({ steps: options.steps, rows: options.batch_size, controls: classes });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  const classifier = await Model.load(gpu, judge.checkpoint, { freeze: () => true, warn });
  const step = { script: "adapt nct", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, [...begun.read, { checkpoint: judge.checkpoint, role: "classifier" }], warn);
  const saving = { files: described.files, lineage };
  const writer = await prepareSave(model, out, saving);
  context.onExit((ok) => (ok ? undefined : writer?.abort()));
  const { levels, boundary, classifier_weight: classifierWeight, metric, steps, lr } = options;
  progress.start({ total: steps, unit: "steps" });
  const { last } = await trainModel({
    ...{ model, steps, seed, signal, log: context.log, advice: "lower --lr" },
    source: noiseSource(options.batch_size),
    objective: nctObjective(model, classifier, { levels, boundary, classifierWeight, metric, seed }),
    optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { weight_decay: 0 }),
    rate: (step) => (lr / 2) * (1 + Math.cos((Math.PI * (step - 1)) / steps)),
    onStep: ({ metrics }) => progress.advance(1, `loss ${metrics.loss!.toFixed(4)}`),
  });
  signal.throwIfAborted();
  progress.done();
  const bytes = await saveResult(model, writer ?? out, saving, context.log.run);
  classifier.free();
  model.free();
  context.json({ steps, controls: classes, ...last?.metrics, bytes });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `loss ${last?.metrics.loss?.toFixed(4)}, ${classes} things to ask for`,
  };
}
