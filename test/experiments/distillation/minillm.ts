import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as jsd } from "../../../src/distill/methods/jsd.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as minillm } from "../../../src/distill/methods/minillm.ts";
import { sampledBatches } from "../../../src/distill/sampled.ts";
import type { Model } from "../../../src/model/model.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, oneBatch, SYMBOLS, written } from "../distill-languages.ts";
import { beliefs, compare, copyOf, type Lesson, learn, markovRows, nll, rowsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

const WAYS = ["kd", "jsd on-policy", "minillm", "minillm, alpha 0", "minillm, single step alone"] as const;

export const experiment = experimentOf({
  title: "`minillm`: texts that the student writes, beside `kd` and `jsd --on-policy`",
  about: `The teacher and the language of \`taid\`. A student of 16 columns has read 64 texts and goes on for 120 steps over them: by \`kd\` as they
are, by \`jsd\` on answers that it writes to their first two symbols, and by \`minillm\` on answers of which the teacher writes a fifth, each
learnt four times. *Single step alone* leaves out what later tokens are worth. *Own* is the reverse KL on what the student writes, *writing*
the teacher's loss on it, *loss* that on other texts. On its own texts \`minillm\` is ahead of \`kd\` on every seed and behind \`jsd\` on answers; what later tokens are
worth gains nothing, and other texts become less likely.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "minillm ÷ start, own": { below: 0.9 },
    "minillm ÷ kd, own": {},
    "minillm ÷ jsd on-policy, own": {},
    "minillm ÷ single step alone, own": {},
    ...Object.fromEntries(WAYS.flatMap((way) => ["own", "loss", "writing"].map((what) => [`${way}, ${what}`, {}]))),
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
    const rows = markovRows(seed, 1024, language);
    const test = oneBatch(markovRows(seed, 96, language, "test"));
    const teacher = await decoder(gpu, 48, 2, seed);
    const lesson = { method: kd as DistillMethod, steps: 150, lr: 0.01, seed };
    await learn(teacher, { ...lesson, data: rowsOf(rows, 32, seed) });
    const begun = await decoder(gpu, 16, 1, seed + 50);
    await learn(begun, { ...lesson, data: rowsOf(rows.slice(0, 64), 16, seed + 4), steps: 60 });
    const measure = async (student: Model) => {
      const answers = await written(student, rows.slice(700, 956));
      const theirs = await beliefs(teacher, answers);
      const own = compare(theirs, await beliefs(student, answers)).reverse;
      return { own, loss: nll(await beliefs(student, test)), writing: nll(theirs) };
    };
    const options = { sample_temperature: 1, sample_tokens: LENGTH - 2, prompt_tokens: 2 };
    const tools = { tokenizer: undefined, encode: { maxLength: LENGTH + 1 }, files: new Map() };
    const start = (await measure(begun)).own;
    const figures: Record<string, number> = {};
    const go = async (way: (typeof WAYS)[number], of: unknown, given: Partial<Lesson> = {}, onPolicy = false) => {
      const student = await copyOf(begun);
      const texts = rowsOf(rows.slice(0, 64), 16, seed + 9);
      const data = onPolicy
        ? sampledBatches(texts, student, { seed, whose: "student", share: 1, options, tools })
        : texts;
      const method = of as DistillMethod;
      await learn(student, { method, teachers: [teacher], data, steps: 120, lr: 0.003, seed, ...given });
      for (const [name, value] of Object.entries(await measure(student))) figures[`${way}, ${name}`] = value;
      student.free();
    };
    await go("kd", kd);
    await go("jsd on-policy", jsd, {}, true);
    const answering = options;
    await go("minillm", minillm, { answering });
    await go("minillm, alpha 0", minillm, { answering, settings: { alpha: 0 } });
    await go("minillm, single step alone", minillm, { answering, settings: { reward_clip: 1e-9, whiten: false } });
    begun.free();
    teacher.free();
    const own = (way: (typeof WAYS)[number]) => figures[`${way}, own`]!;
    return {
      ...figures,
      "minillm ÷ start, own": own("minillm") / start,
      "minillm ÷ kd, own": own("minillm") / own("kd"),
      "minillm ÷ jsd on-policy, own": own("minillm") / own("jsd on-policy"),
      "minillm ÷ single step alone, own": own("minillm") / own("minillm, single step alone"),
    };
  },
});
