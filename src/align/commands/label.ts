/** `align label`: answers to customers of a shop as pairs or rewards, rated at once or in hindsight. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { rated, shopIn } from "../../data/worlds/shop.ts";
import { UserError } from "../../errors.ts";
import { bestAndWorst } from "../best-and-worst.ts";
import type { LABEL } from "../hindsight.ts";
import { readAnswers } from "../verifying/answered-rows.ts";

export async function label(context: Context<typeof LABEL>): Promise<Outcome> {
  const { options, args } = context;
  const [file] = args;
  const result = textResult(context, args);
  const { hindsight, trust, field, to, least } = options;
  const answers = await Array.fromAsync(readAnswers(file!, field), ({ prompt, answer, row, place }) => {
    const shop = shopIn(row.extra);
    if (!shop)
      throw new UserError(
        `${place}: the row has no shop, so what became of the answer is not known`,
        "rows are those of bun run data shop, with the features that an item has, those that are wanted and those that are seen",
      );
    const { rating, ...rest } = rated(shop, answer, hindsight, trust);
    return { prompt, text: answer, worth: rating, ...rest, utility: rated(shop, answer, "oracle", trust).rating };
  });
  const rows =
    to === "pairs"
      ? bestAndWorst(answers, least)
      : answers.map(({ prompt, text, worth }) => ({ prompt, completion: text, reward: worth }));
  if (rows.length === 0)
    throw new UserError(
      `${file}: no prompt has two answers whose ratings are more than ${least} apart`,
      "give several answers to each prompt, or --to rewards, which keeps every row",
    );
  const mean = (of: (answer: (typeof answers)[number]) => number) =>
    answers.reduce((sum, answer) => sum + of(answer), 0) / answers.length;
  const told = {
    answers: answers.length,
    made: rows.length,
    rating: mean(({ worth }) => worth),
    utility: mean(({ utility }) => utility),
    false_claims: mean(({ isFalse }) => Number(isFalse)),
    purchases: mean(({ buys }) => Number(buys)),
  };
  context.info(
    `${rows.length} ${to} of ${answers.length} answers: mean rating ${told.rating.toFixed(3)}, true utility ${told.utility.toFixed(3)}`,
  );
  return result(rows.map((row) => JSON.stringify(row)).join("\n"), told);
}
