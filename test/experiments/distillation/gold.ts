import { loadTokenizer } from "../../../src/data/load-tokenizer.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as gold } from "../../../src/distill/methods/gold.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as uld } from "../../../src/distill/methods/uld.ts";
import { spanTeacher } from "../../../src/distill/other-spans.ts";
import { foreignTeacher } from "../../../src/distill/other-vocabulary.ts";
import { otherSpans, otherTokens, type SpanMerge } from "../../../src/distill/same-places.ts";
import { sameTexts } from "../../../src/distill/same-texts.ts";
import type { Teacher } from "../../../src/run/teachers/teacher.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, oneBatch } from "../distill-languages.ts";
import { beliefs, learn, markovRows, nll, rowsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

const LETTERS = [..."abcdefgh"];

/** Reads letters, and the pairs that are merged. */
const tokenizerOf = (pairs: readonly string[]) =>
  loadTokenizer(
    new Map([
      [
        "tokenizer.json",
        new TextEncoder().encode(
          JSON.stringify({
            version: "1.0",
            ...{ added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null },
            decoder: { type: "Fuse" },
            model: {
              type: "BPE",
              vocab: Object.fromEntries([...LETTERS, ...pairs].map((token, id) => [token, id])),
              merges: pairs.map(([a, b]) => `${a} ${b}`),
            },
          }),
        ),
      ],
    ]),
    "letters",
  );

export const experiment = experimentOf({
  title: "`gold` and `uld`: a teacher that reads pairs of letters",
  about: `8 letters of which two decide the next. The teacher's tokenizer has the 12 most frequent pairs besides, the student's has letters
alone; the student, of 16 columns, reads 48 texts for 100 steps. Losses are on other texts. "Alone": what the teacher says counts and
the labels do not, as in the paper; a teacher for whom a letter stands only where no pair begins then misleads.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "labels, loss": {},
    "uld with labels − labels": {},
    "gold, observed, alone − labels": { above: 0.3 },
    "gold, bayesian, alone − labels": {},
    "gold by rank, alone − labels": {},
    "gold with labels − labels": { below: 0 },
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: LETTERS.length, order: 2, length: LENGTH, concentration: 0.15, smoothing: 0.01 };
    const rows = markovRows(seed, 1024, language);
    const textOf = ({ ids }: Sequence) => Array.from(ids, (id) => LETTERS[id]!).join("");
    const counts = new Map<string, number>();
    for (const text of rows.map(textOf))
      for (let i = 1; i < text.length; i++)
        counts.set(text.slice(i - 1, i + 1), (counts.get(text.slice(i - 1, i + 1)) ?? 0) + 1);
    const pairs = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 12);
    const own = await tokenizerOf([]);
    const other = await tokenizerOf(pairs.map(([pair]) => pair));
    const reread = rows.map((row): Sequence => {
      const ids = other.encode(textOf(row));
      return { ...row, ids, labels: ids };
    });
    const teacher = await decoder(gpu, 48, 2, seed, other.vocabSize);
    await learn(teacher, { method: kd, data: rowsOf(reread, 32, seed), steps: 200, lr: 0.01, seed });
    const test = oneBatch(markovRows(seed, 96, language, "test"));
    const given = { own, other, maxLength: LENGTH + 1 };
    const run = async (method: unknown, teachers: Teacher[], labels: number, settings = {}) => {
      const student = await decoder(gpu, 16, 1, seed + 50, LETTERS.length);
      const data = rowsOf(rows.slice(0, 48), 16, seed + 9);
      await learn(student, {
        ...{ method: method as DistillMethod, teachers, data, steps: 100, lr: 0.01, seed, settings },
        weights: { labels },
      });
      const loss = nll(await beliefs(student, test));
      student.free();
      return loss;
    };
    const sizes = { outputs: LETTERS.length };
    const matched = sameTexts({ tokenizer: own, ...sizes }, { tokenizer: other, outputs: other.vocabSize });
    const spans = (merge: SpanMerge, hybrid = true) => [
      spanTeacher(teacher, otherSpans(given, merge), hybrid ? matched : undefined, sizes),
    ];
    const labels = await run(kd, [], 1);
    const found = {
      "labels, loss": labels,
      "uld with labels − labels": (await run(uld, [foreignTeacher(teacher, otherTokens(given))], 1)) - labels,
      "gold, observed, alone − labels": (await run(gold, spans("observed"), 0)) - labels,
      "gold, bayesian, alone − labels": (await run(gold, spans("bayesian"), 0, { merge: "bayesian" })) - labels,
      "gold by rank, alone − labels": (await run(gold, spans("observed", false), 0, { hybrid: false })) - labels,
      "gold with labels − labels": (await run(gold, spans("observed"), 1)) - labels,
    };
    teacher.free();
    return found;
  },
});
