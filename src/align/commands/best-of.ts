/** `align best-of`: the answers of a model that are worth most, as rows. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { unbegun } from "../attempts/attempts.ts";
import { bestRows, divergenceOf, expectedBest, promptOf } from "../attempts/best-of.ts";
import type { BEST_OF } from "../attempts/options.ts";
import { meanOf } from "../policies/advantages.ts";
import { openAttempts } from "./open-attempts.ts";

/** 1, 2, 4, … and the last. */
const doubled = (last: number): number[] => [
  ...Array.from({ length: Math.ceil(Math.log2(last)) }, (_, i) => 2 ** i),
  last,
];

export async function bestOf(context: Context<typeof BEST_OF>): Promise<Outcome> {
  const { options } = context;
  const result = textResult(context, [options.data]);
  const { answers: count, top } = options;
  if (top > count) throw new UserError(`--top ${top} is more than --answers ${count}`, "lower it");
  const { tasks, start } = await openAttempts(context);
  for (const task of tasks) promptOf(task);
  const kl = divergenceOf(count);
  if (context.dryRun) {
    context.json({ rows: tasks.length, answers: tasks.length * count, kl });
    context.print(`${tasks.length} rows, ${tasks.length * count} answers; KL at most ${kl.toFixed(3)} nats`);
    return {};
  }
  const attempts = await start();
  context.onExit(() => attempts.free());
  const made = await attempts.of(unbegun(tasks), count);
  const expected = made.map((own) => expectedBest(own.map(({ reward }) => reward)));
  const curve = doubled(count).map((n) => {
    return { n, reward: meanOf(expected.map((own) => own[n - 1]!)), kl: divergenceOf(n) };
  });
  context.info(
    `mean reward ${curve.map(({ n, reward }) => `${reward.toFixed(4)} of ${n}`).join(", ")}; KL from the model at most ${kl.toFixed(3)} nats`,
  );
  const rows = tasks.flatMap((task, i) => bestRows(task, made[i]!, top));
  return result(rows.map((row) => JSON.stringify(row)).join("\n"), { rows: rows.length, kl, best_of: curve });
}
