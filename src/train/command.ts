/**
 * What the `train` script does: cross-entropy on rows of text, tokens or labelled examples, or InfoNCE on pairs of
 * texts, which is cross-entropy among the texts of a batch (model/embedder.ts).
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { checkPgd } from "../run/adversarial/options.ts";
import { readBatches } from "../run/training/batch-source.ts";
import { classLosses } from "../run/training/class-losses.ts";
import type { Controller } from "../run/training/controller.ts";
import { crossEntropyObjective, type RowWeigher } from "../run/training/cross-entropy.ts";
import type { Objective } from "../run/training/objective.ts";
import { refuseGroups } from "../run/training/option-checks.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { TrainingData } from "../run/training/technique.ts";
import { adversarialWork } from "./adversarial.ts";
import { correctnessObjective } from "./correctness.ts";
import { fixedHeadObjective } from "./fixed-head.ts";
import { chosenMask, withPromptsChanged } from "./increments.ts";
import { fauLog } from "./log-fau.ts";
import { lossBalance } from "./loss-balance.ts";
import type { TRAIN } from "./options.ts";
import { checkPrequential, Prequential } from "./prequential.ts";
import { openPrivate, PrivateHead } from "./private-head.ts";
import { shiftWarning } from "./shift-warning.ts";

export type TrainContext = Context<typeof TRAIN>;

/** What was read: rows, and with --private-from an earlier model. */
interface Read extends TrainingData<Batch> {
  readonly source: Awaited<ReturnType<typeof readBatches>>;
  readonly privateFrom: Checkpoint | undefined;
}

export function train(context: TrainContext): Promise<Outcome> {
  const { options, seed } = context;
  if (options.adversarial) checkPgd(options);
  const contrasts = options.loss === "infonce";
  if (options.loss_balance !== "none" && (options.loss !== "ce" || options.head !== "own"))
    throw new UserError(
      `--loss-balance ${options.loss_balance} weighs rows by their cross-entropy, and --${options.loss === "ce" ? "head sparse-etf" : `loss ${options.loss}`} trains by another loss`,
      "leave one of them out",
    );
  if (contrasts && options.accumulate > 1)
    throw new UserError(
      "--loss infonce compares all pairs of a step with each other, and --accumulate would part them",
      "raise --batch-size in its place; --recompute makes room",
    );
  if (options.prompt_weight !== undefined && options.loss_balance !== "none")
    throw new UserError(
      `--prompt-weight and --loss-balance ${options.loss_balance} both say what rows weigh`,
      "leave one of them out",
    );
  if (options.prequential) checkPrequential(options);
  if (options.log_fau !== undefined && options.log === undefined)
    throw new UserError("--log-fau tells the log, and there is none", "give --log FILE");
  const asked = options.prequential ? { ...context, options: { ...options, shuffle: false, epochs: 1 } } : context;
  return runTraining<Batch, Read>(asked, {
    script: "train",
    balances: true,
    embeds: contrasts ? { temperature: options.temperature } : undefined,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    data: async (opened) => ({
      source: await readBatches(options, opened),
      privateFrom: await openPrivate(options.private_from),
    }),
    read: ({ privateFrom: checkpoint }) => (checkpoint ? [{ checkpoint, role: "private_from" }] : []),
    work: async (built, { source, privateFrom }) => {
      const { model, tools } = built;
      refuseGroups(
        model,
        source.groups.map(({ name }) => name),
      );
      const balance =
        options.loss_balance === "awl"
          ? await lossBalance(built, { pack: options.pack, seed, continues: options.lora_continue })
          : undefined;
      if (balance && (model.adapter?.stages?.focus ?? 1) > 1)
        throw new UserError(
          "--loss-balance awl learns what groups weigh, and the adapter weighs tokens that are marked",
          "leave one of them out",
        );
      const moved = await adversarialWork(model, source, options, seed);
      const target = options.private_head;
      const second = target === undefined ? undefined : await PrivateHead.make(built, target, privateFrom);
      return {
        objective: objectiveOf(model, source, options, seed, { weigher: balance?.weigher, second }),
        ...followed(
          [
            ...shiftWarning(options, context),
            ...fauLog(options, source, { model, pad: tools?.tokenizer?.pad ?? 0 }, context),
          ],
          options.prequential ? new Prequential() : undefined,
        ),
        extra: [...(balance?.extra ?? []), ...(second?.parameters ?? [])],
        ...(second && target !== undefined ? { end: (lineage) => second.save(target, built.files, lineage) } : {}),
        ...withPromptsChanged(source, options, {
          ...{ seed, pad: tools?.tokenizer?.pad, steps: built.steps, accumulate: options.accumulate },
        }),
        ...moved,
        memory: { ...balance?.memory, ...moved?.memory },
        free() {
          balance?.free();
          moved?.free();
          second?.free();
        },
      };
    },
  });
}

const followed = (own: readonly Controller[], stream: Prequential | undefined) =>
  stream ? { controllers: [...own, stream], told: () => stream.told() } : { controllers: own };

type Source = Parameters<typeof chosenMask>[1];

function objectiveOf(
  model: Model,
  source: Source,
  options: TrainContext["options"],
  seed: number,
  { weigher, second }: { readonly weigher: RowWeigher | undefined; readonly second: PrivateHead | undefined },
): Objective<Batch> {
  const { smoothing, z_loss: zLoss, recompute, etf_sparsity: sparsity, etf_steps: steps } = options;
  const classes = classLosses(model, options, seed);
  if (classes && (weigher || options.loss === "correctness"))
    throw new UserError(
      `--mixup and --contrastive do not go with ${weigher ? "--loss-balance" : "--loss correctness"}`,
      "leave one of them out",
    );
  if (options.loss === "correctness")
    return correctnessObjective(model, { perRow: options.experts_per_row, smoothing });
  const increments = chosenMask(model, source, options);
  if (options.head === "own")
    return crossEntropyObjective(model, {
      ...{ smoothing, zLoss, recompute, increments, classes, weigher },
      ...{ balance: true, statistics: "batch", accuracy: options.prequential },
    });
  if (classes)
    throw new UserError("--mixup and --contrastive do not go with --head sparse-etf", "leave one of them out");
  if (increments)
    throw new UserError("--increment-mask and --head sparse-etf are two objectives", "leave one of them out");
  return fixedHeadObjective(model, { sparsity, steps, seed, smoothing, zLoss, recompute, private: second });
}
