import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as attention } from "../../../src/distill/methods/attention.ts";
import { method as dkd } from "../../../src/distill/methods/dkd.ts";
import { method as hinge } from "../../../src/distill/methods/hinge-rank.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as logistic } from "../../../src/distill/methods/logistic-rank.ts";
import { method as minilm } from "../../../src/distill/methods/minilm.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, oneBatch, SYMBOLS } from "../distill-languages.ts";
import { beliefs, compare, type Lesson, learn, markovRows, nll, rowsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`dkd`, rankings and `minilm` on little text",
  about: `The teacher and the language of \`taid\`; a student of 16 columns reads 64 texts for 80 steps, beside what the teacher says.
Losses are on other texts. \`minilm\` and \`attention\` count tenfold; rankings say nothing of how likely an output is, so the labels
learn along. \`dkd\` at the weight of 8 of classifiers is behind \`kd\` here, and relations of queries, keys and values, unlike the maps
themselves, do not help beside the labels.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "dkd ÷ labels, loss": { below: 0.98 },
    "dkd ÷ kd, forward KL": {},
    "hinge-rank ÷ labels, loss": {},
    "logistic-rank ÷ labels, loss": { below: 0.98 },
    "minilm ÷ labels, loss": {},
    "minilm ÷ attention, loss": {},
    "labels, loss": {},
    "kd, loss": {},
    "teacher, loss": {},
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
    const rows = markovRows(seed, 1024, language);
    const test = oneBatch(markovRows(seed, 96, language, "test"));
    const teacher = await decoder(gpu, 48, 2, seed);
    await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
    const truth = await beliefs(teacher, test);
    const run = async (method: unknown, given: Partial<Lesson> = {}) => {
      const student = await decoder(gpu, 16, 1, seed + 50);
      const data = rowsOf(rows.slice(0, 64), 16, seed + 9);
      await learn(student, {
        ...{ method: method as DistillMethod, teachers: [teacher], data, steps: 80, lr: 0.01, seed },
        ...given,
      });
      const found = await beliefs(student, test);
      student.free();
      return { loss: nll(found), forward: compare(truth, found).forward };
    };
    const labels = await run(kd, { teachers: [] });
    const plain = await run(kd);
    const apart = await run(dkd);
    const ranked = {
      hinge: await run(hinge, { weights: { labels: 1 } }),
      logistic: await run(logistic, { weights: { labels: 1 } }),
    };
    const maps = await run(attention, { weights: { distill: 10 } });
    const related = await run(minilm, { weights: { distill: 10 }, settings: { relation_heads: 4 } });
    teacher.free();
    return {
      "dkd ÷ labels, loss": apart.loss / labels.loss,
      "dkd ÷ kd, forward KL": apart.forward / plain.forward,
      "hinge-rank ÷ labels, loss": ranked.hinge.loss / labels.loss,
      "logistic-rank ÷ labels, loss": ranked.logistic.loss / labels.loss,
      "minilm ÷ labels, loss": related.loss / labels.loss,
      "minilm ÷ attention, loss": related.loss / maps.loss,
      "labels, loss": labels.loss,
      "kd, loss": plain.loss,
      "teacher, loss": nll(truth),
    };
  },
});
