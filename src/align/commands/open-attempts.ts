/** Opens model, rows and verifiers of a command that lets a model try rows. */
import type { PlainContext } from "../../cli/context.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import type { Values } from "../../method/options.ts";
import { Model } from "../../model/model.ts";
import { checkStops } from "../../run/generating/stop-texts.ts";
import { openModel } from "../../run/open-model.ts";
import { Attempts } from "../attempts/attempts.ts";
import type { BEST_OF } from "../attempts/options.ts";
import { readTasks, type Task } from "../attempts/tasks.ts";
import { freeRewards, readyRewards, rewardTerms } from "../verifying/rewards.ts";

export interface AttemptsContext
  extends Pick<PlainContext, "args" | "seed" | "signal" | "device" | "dryRun" | "onExit" | "warn"> {
  readonly options: Omit<Values<typeof BEST_OF>, "answers" | "top"> & { readonly success?: number };
}

export interface OpenedAttempts {
  readonly tasks: readonly Task[];
  readonly tokens: (ids: readonly number[]) => string;
  /** Loads the model. */
  start(): Promise<Attempts>;
}

/** Reads everything but weights. Throws UserError. */
export async function openAttempts(context: AttemptsContext): Promise<OpenedAttempts> {
  const { options, args, seed, signal } = context;
  const { max_new_tokens: maxTokens, stop: stops = [], temperature, success = 0, rows_at_once: rows } = options;
  checkStops(stops);
  let gpu: Promise<Gpu> | undefined;
  const device = () => (gpu ??= openGpu({ device: context.device }));
  const terms = await rewardTerms(options, { maxTokens, gpu: device });
  context.onExit(() => freeRewards(terms));
  const opened = await openModel(args[0] ?? "-", {}, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  const tasks = await readTasks(options.data, opened, maxTokens);
  const tokenizer = opened.tools!.tokenizer!;
  return {
    tasks,
    tokens: (ids) => tokenizer.decode(ids),
    async start() {
      await readyRewards(terms, await device());
      const model = await Model.load(await device(), opened.checkpoint);
      return new Attempts({
        ...{ model, tokenizer, terms, temperature, maxTokens, success, stops, rows, seed, signal },
      });
    },
  };
}
