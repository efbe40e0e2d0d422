/** `align score`: what verifiers say of answers that a file holds. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { readAnswers } from "../verifying/answered-rows.ts";
import type { SCORE } from "../verifying/options.ts";
import { freeRewards, type RewardTerm, rewardTerms, type Scores, scoreAll } from "../verifying/rewards.ts";

export async function score(context: Context<typeof SCORE>): Promise<Outcome | undefined> {
  const { options, out, args, signal } = context;
  if (args.length > 1) throw new UserError(`unexpected argument ${args[1]}`, "one file of answers at a time");
  const terms = await rewardTerms(options, {
    maxTokens: options.max_tokens,
    gpu: () => openGpu({ device: context.device }),
  });
  const file = args[0] ?? "-";
  refuseInputs(out, [file]);
  context.onExit(() => freeRewards(terms));
  const answers = await Array.fromAsync(readAnswers(file, options.field));
  if (context.dryRun) {
    context.json({ answers: answers.length, terms: terms.map(({ name, weight }) => ({ name, weight })) });
    context.print(`${answers.length} answers, ${terms.map(({ name, weight }) => `${weight}*${name}`).join(" + ")}`);
    return;
  }
  const target = options.json && out === "-" ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  const { parts, rewards } = await scoreAll(terms, answers, signal);
  target?.write(rewards.map((reward, i) => lineOf(terms, reward, parts[i]!)).join(""));
  context.json(summaryOf(terms, { parts, rewards }));
  if (!options.json) context.info(inWords(terms, { parts, rewards }));
  return out === "-" ? undefined : { output: `${out} (${rewards.length} rewards)` };
}

/** A line that a command which verifies may write: the reward, and what each term said. */
const lineOf = (terms: readonly RewardTerm[], reward: number, parts: readonly (number | null)[]): string =>
  `${JSON.stringify({ reward, parts: Object.fromEntries(terms.map(({ name }, t) => [name, parts[t]])) })}\n`;

/** The mean of what is known; null of nothing. */
function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

const summaryOf = (terms: readonly RewardTerm[], { parts, rewards }: Scores) => ({
  answers: rewards.length,
  mean: meanOf(rewards),
  terms: terms.map(({ name, weight }, t) => {
    const column = parts.map((row) => row[t]!);
    return { name, weight, mean: meanOf(column), judged: column.filter((part) => part !== null).length };
  }),
});

function inWords(terms: readonly RewardTerm[], scores: Scores): string {
  const { answers, mean, terms: each } = summaryOf(terms, scores);
  const shown = (value: number | null) => (value === null ? "-" : String(Number(value.toPrecision(4))));
  const told = each.map(({ name, weight, mean, judged }) => {
    const left = judged < answers ? `, ${answers - judged} not judged` : "";
    return `${name} ${shown(mean)}${weight === 1 ? "" : ` times ${weight}`}${left}`;
  });
  return `${answers} answers, mean reward ${shown(mean)} (${told.join("; ")})`;
}
