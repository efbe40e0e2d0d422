/** What a run of training refuses, or warns of, before any work. */
import { parseGroups } from "../../data/groups.ts";
import { sameRows } from "../../data/same-rows.ts";
import { UserError } from "../../errors.ts";
import { flagOf } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { matcher } from "../name-patterns.ts";
import type { Choices } from "./optimizer-and-schedule.ts";
import type { RunContext } from "./technique.ts";

/** Throws UserError for an option that would undo another. */
export function refuseClashing({ options, out }: RunContext): void {
  const { patience, eval_every, keep, save_every } = options;
  if (options.log_noise_scale && options.accumulate < 2)
    throw new UserError(
      "--log-noise-scale compares the gradients of a step's micro-batches, and there is one",
      "give --accumulate 2 or more, and a smaller --batch-size",
    );
  if (patience !== undefined && eval_every === 0)
    throw new UserError(
      "--patience counts evaluations, and there is only the one at the end",
      "give --eval-every N: the steps between two of them",
    );
  if (options.ema !== undefined && options.swa !== undefined)
    throw new UserError("--ema and --swa both write an average of the weights", "leave one of them out");
  if (keep !== undefined && save_every === 0)
    throw new UserError("--keep has nothing to keep with --save-every 0", "give --save-every N");
  if (keep !== undefined && (out === "-" || out.startsWith("hf:")))
    throw new UserError(
      `--keep writes beside the result, which goes to ${out === "-" ? "stdout" : "the Hub"}`,
      "give -o with a folder or a file of this machine",
    );
}

/** Throws UserError where an adapter tells groups of the data apart, and these are more, or fewer, than it knows. */
export function refuseGroups({ adapter }: Pick<Model, "adapter">, names: readonly string[]): void {
  const { groups: told } = adapter ?? {};
  if (!told) return;
  const { option, most, least = 1 } = told;
  const groups = names.length;
  const known = `${groups} ${groups === 1 ? "group" : "groups"} (${names.join(", ")})`;
  if (groups < least)
    throw new UserError(
      `${flagOf(option)} ${least - 1} names a group of the data, counted from 0, and there are ${known}`,
      "give those rows as the last group, or leave the option out",
    );
  if (groups > most)
    throw new UserError(
      `the rows are of ${known}, and the adapter tells ${most} apart`,
      least > 1
        ? `give ${flagOf(option)} ${groups - 1}: the last group, counted from 0`
        : `give ${flagOf(option)} ${groups} when the adapter is made`,
    );
}

/** Warns of held-out rows that the run trains on, whose loss is no held-out loss. */
export function warnOfTrainedRows({ options, warn }: RunContext): void {
  const trained = parseGroups(options.data ?? []);
  for (const group of parseGroups(options.eval_data ?? [], undefined, "--eval-data"))
    if (trained.some((other) => sameRows(group, other)))
      warn(
        `--eval-data ${group.path} is trained on as well, so its loss is no held-out loss; give other rows, or --eval-split 0.1 in its place`,
      );
}

/** Warns where --keep keeps nothing. */
export function warnOfKeep({ options, warn }: RunContext, steps: number): void {
  const { keep, save_every } = options;
  if (keep !== undefined && save_every >= steps)
    warn(
      `--keep: the run has ${steps} steps, and its first checkpoint would be of step ${save_every}; lower --save-every`,
    );
}

/**
 * Throws UserError for a schedule that does not fit, before any work; warns of one that never reaches the rate that
 * was asked for.
 */
export function warnOfSchedule(context: RunContext, choices: Choices, steps: number): void {
  const { lr } = context.options;
  let most = 0;
  for (let step = 1; step <= steps && most < 0.999 * lr; step++) most = Math.max(most, choices.rate(step, steps));
  // A schedule that goes on may have its peak behind it.
  if (most < 0.999 * lr && !choices.past)
    context.warn(
      `the ${choices.schedule.method.name} schedule reaches ${((100 * most) / lr).toFixed(0)} % of --lr ${lr} at most in ${steps} steps; train longer, or shorten its phases`,
    );
}

/**
 * Says before any work where a new language model sees its rows more than once, and where dropout meets rows that none
 * is seen twice of: fresh rows are better than both. Komatsuzaki 2019, https://arxiv.org/abs/1906.06669. `passes`: over
 * all rows.
 */
export function tellOfRepeats({ options, info }: RunContext, isText: boolean, passes: number): void {
  if (!isText) return;
  // Fine-tuning of what has learnt from other rows is another matter.
  if (options.init !== undefined && passes > 1 + 1e-9)
    info(
      `the rows are seen ${passes.toFixed(1)} times: the loss will be higher than on as many fresh ones; give more rows, or stop where the held-out loss rises (--patience)`,
    );
  if ((options.lora_dropout ?? 0) > 0 && passes <= 1 + 1e-9)
    info(`--lora-dropout ${options.lora_dropout} costs loss where no row is seen twice; 0 is better in one pass`);
}

/** Throws UserError for a pattern that matches no name. */
export function refuseUnmatched(options: RunContext["options"], names: readonly string[], ref: string): void {
  for (const option of ["freeze", "train_only"] as const)
    for (const pattern of options[option] ?? [])
      if (!names.some(matcher([pattern])))
        throw new UserError(
          `${flagOf(option)} ${pattern} matches no weight of ${ref}`,
          `names are like ${names[0]} and ${names.at(-1)}`,
        );
}
