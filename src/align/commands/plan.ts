/** `align plan`: a model plans errands with scripted workers, and what comes of it becomes rows to learn from. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readRows } from "../../data/read-rows.ts";
import { errandIn } from "../../data/worlds/errands.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { PromptEncoder } from "../../run/generating/prompts.ts";
import { Rollouts } from "../../run/generating/rollouts.ts";
import { openModel } from "../../run/open-model.ts";
import type { PLAN } from "../attempts/options.ts";
import { type PlanTask, pairOfPlans, plans, rightPlans } from "../attempts/plans.ts";

/** The errands of a file. Throws UserError for a row without one. */
async function errands(file: string): Promise<PlanTask[]> {
  const tasks: PlanTask[] = [];
  for await (const { row, place } of readRows({ path: file })) {
    const errand = errandIn(row.extra);
    if (!errand || row.form !== "messages")
      throw new UserError(`${place}: the row is no conversation with an errand`, "take rows of bun run data errands");
    tasks.push({ errand, place, asked: row.messages.filter(({ role }) => role === "user").slice(0, 1) });
  }
  return tasks;
}

export async function plan(context: Context<typeof PLAN>): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const { data, attempts, to, temperature, max_new_tokens: maxTokens, turns, rows_at_once: rows } = options;
  const result = textResult(context, [data]);
  const { checkpoint, tools, sizes, ref } = await openModel(args[0] ?? "-", {}, (text) => context.warn(text));
  context.onExit(() => checkpoint.close());
  const { tokenizer, encode } = tools ?? {};
  if (!tokenizer) throw new UserError(`${ref} is no language model with a tokenizer`, "workers read texts");
  const tasks = await errands(data);
  if (context.dryRun) {
    context.json({ tasks: tasks.length, trajectories: tasks.length * attempts });
    context.print(`${tasks.length} tasks, ${tasks.length * attempts} trajectories`);
    return {};
  }
  const model = await Model.load(await openGpu({ device: context.device }), checkpoint);
  const encoder = new PromptEncoder({ chat: false }, tokenizer, encode?.template);
  const rollouts = new Rollouts(model, tokenizer);
  const ways = await plans(tasks, attempts, {
    ...{ rollouts, temperature, maxTokens, turns, rows, seed, signal, ends: tokenizer.ends },
    positions: sizes.maxPositions,
    encode: (messages, place) => encoder.conversation(messages, "", { place }).ids,
  });
  rollouts.free();
  const made = tasks.flatMap((task, i): object[] => {
    if (to === "wins") return rightPlans(task, ways[i]!);
    const pair = pairOfPlans(task, ways[i]!);
    return pair ? [pair] : [];
  });
  const success = ways.flat().filter(({ isRight }) => isRight).length / Math.max(1, ways.flat().length);
  context.info(
    `${(100 * success).toFixed(1)} % of ${tasks.length * attempts} trajectories end right; ${made.length} rows`,
  );
  const told = { tasks: tasks.length, trajectories: tasks.length * attempts, success, rows: made.length };
  return result(made.map((row) => JSON.stringify(row)).join("\n"), told);
}
