/**
 * How well a linear classifier reads from each block what a row's answer is: logistic regression on the state where the
 * answer begins. What was removed is read no better than from gold; what was only hidden still stands in the blocks.
 * Jain et al., ICLR 2024, https://arxiv.org/abs/2311.12786
 *
 * Some of the rows are learnt from, the others tested on; which, hangs on the seed and the row's text. Classes are the
 * answers, or the values of a key of the rows.
 */

import { loadSequences } from "../../../data/dataset.ts";
import type { GroupReference } from "../../../data/groups.ts";
import { Random } from "../../../data/random.ts";
import { readRows } from "../../../data/read-rows.ts";
import { UserError } from "../../../errors.ts";
import { logisticRegression } from "../../../run/probing/logistic.ts";
import { statesAt } from "../../../run/probing/states-at.ts";
import { questionOf } from "../../../run/scoring/alternatives.ts";
import { defineTechnique, goldFirst } from "../../technique.ts";

/** The class of every row, by number, and how many there are. */
async function classesOf(groups: readonly GroupReference[], key: string | undefined) {
  const labels: number[] = [];
  const numbers = new Map<string, number>();
  const texts: string[] = [];
  for (const group of groups)
    for await (const { row, place } of readRows(group)) {
      const asked = questionOf(row);
      const answer = row.form === "tokens" ? row.inputIds.at(-1) : asked?.expected;
      const own = key === undefined ? answer : row.extra[key];
      if (own === undefined || own === null)
        throw new UserError(
          `${place}: the row has no ${key ?? "answer"}, which is its class`,
          "give rows of prompt and completion, or name a key of the rows: --linear-label KEY",
        );
      const text = JSON.stringify(own);
      if (!numbers.has(text)) numbers.set(text, numbers.size);
      labels.push(numbers.get(text)!);
      texts.push(`${JSON.stringify(asked?.prompt ?? place)} ${text}`);
    }
  return { labels, classes: numbers.size, texts };
}

export const method = defineTechnique({
  name: "linear",
  title: "Linear probe",
  about: "how well a linear classifier reads each block where an answer begins: hidden answers are read still",
  cite: "arXiv:2311.12786",
  metrics: [],
  options: {
    linear_label: {
      type: "string",
      help: "key of the rows that holds the class; the answer when left out",
      value: "KEY",
    },
    linear_test: { type: "0 < number < 1", default: 0.4, help: "share of the rows that is tested on", value: "SHARE" },
    linear_batch: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe linear, which looks at inner values", "leave it out");
  },

  async run(setup) {
    const { values, groups, quantize, loader, seed, signal } = setup;
    const { labels, classes, texts } = await classesOf(groups, values.linear_label);
    const isTested = texts.map((text) => new Random(seed, "linear", text).uniform() < values.linear_test);
    const learnt = labels.filter((_, i) => !isTested[i]).length;
    if (classes < 2 || learnt === 0 || learnt === labels.length)
      throw new UserError(
        `${labels.length} rows of ${classes} classes, ${labels.length - learnt} of them to test on, are too few`,
        "give more rows, of two classes or more",
      );
    const most = Math.max(...Array.from({ length: classes }, (_, c) => labels.filter((label) => label === c).length));
    const { models, shown } = goldFirst(setup);
    loader.begin(models.length * labels.length, "rows");
    const rows: { model: string; layer: string; accuracy: number }[][] = [];
    for (const { checkpoint, isGold } of models) {
      const loaded = await loader.load(checkpoint, { bits: isGold ? undefined : quantize });
      const { tools, model, ref } = loaded;
      const { sequences } = await loadSequences(groups, tools!.encode);
      if (sequences.length !== labels.length)
        throw new UserError("a row is one sequence here, and some were split", "leave out --overflow split");
      const { layers } = await statesAt(model, sequences, {
        rows: values.linear_batch,
        pad: tools!.tokenizer?.pad ?? 0,
        signal,
        done: (n) => loader.tick(ref, n),
      });
      rows.push(
        layers.map(({ layer, rows: states }) => {
          const own = <T>(list: readonly T[], tested: boolean) => list.filter((_, i) => isTested[i] === tested);
          const predict = logisticRegression(own(states, false), own(labels, false), classes);
          const [asked, right] = [own(states, true), own(labels, true)];
          const accuracy = asked.filter((state, i) => predict(state) === right[i]).length / asked.length;
          return { model: ref, layer, accuracy };
        }),
      );
      await loaded.free();
    }
    const found = shown(rows).flat();
    const chance = most / labels.length;
    return {
      table: [
        ["model", "after", "accuracy", "largest class"],
        ...found.map(({ model, layer, accuracy }) => [model, layer, accuracy, chance]),
      ],
      json: { classes, learnt, tested: labels.length - learnt, chance, rows: found },
    };
  },
});
