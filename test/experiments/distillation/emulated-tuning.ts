import { Random } from "../../../src/data/random.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { markovLanguage } from "../../../src/data/tasks/markov.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Rule } from "../../../src/run/combining/contract.ts";
import { makeRule, viewed } from "../../../src/run/combining/rule.ts";
import { method as dlf } from "../../../src/sample/methods/dlf.ts";
import { method as eft } from "../../../src/sample/methods/eft.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, SYMBOLS } from "../distill-languages.ts";
import { copyOf, learn, rowsOf, sequencesOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";
import { scored } from "../ruled.ts";

/** Texts of a table of transitions by two symbols. */
function textsOf(table: Float64Array, seed: number, name: string, count: number): Sequence[] {
  const random = new Random(seed, name);
  const rows = Array.from({ length: count }, () => {
    const ids = [random.below(SYMBOLS), random.below(SYMBOLS)];
    while (ids.length < LENGTH) {
      const from = (SYMBOLS * ids.at(-2)! + ids.at(-1)!) * SYMBOLS;
      ids.push(random.weighted([...table.subarray(from, from + SYMBOLS)]));
    }
    return ids;
  });
  return sequencesOf(rows);
}

/** The language in which every symbol is so many times as likely, whatever stands before it. */
function tilted(table: Float64Array, weights: readonly number[]): Float64Array {
  const made = table.map((p, i) => p * weights[i % SYMBOLS]!);
  for (let at = 0; at < made.length; at += SYMBOLS) {
    const own = made.subarray(at, at + SYMBOLS);
    const sum = own.reduce((a, b) => a + b, 0);
    for (let s = 0; s < SYMBOLS; s++) own[s]! /= sum;
  }
  return made;
}

export const experiment = experimentOf({
  title: "A large model that takes over what a small one learned",
  about: `A language of 12 symbols, of which two decide the next, and the same with every symbol up to 6 times as likely or unlikely: the task.
A large decoder (47,000 weights) and a small one (900) read the language, and the small one then the task. The large one adds the change
of the small one at every token: with strength 1 (emulated fine-tuning), or with one that is chosen anew (dynamic logit fusion). "Large,
tuned" read the task itself. Losses and accuracies are those of 96 texts of the task. In the mean both close two thirds of the gap in accuracy;
against the paper, a strength that is chosen anew is no better than 1.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "loss: large": {},
    "loss: small, tuned": {},
    "loss: emulated": {},
    "loss: fused": {},
    "loss: large, tuned": {},
    "accuracy: large": {},
    "accuracy: small, tuned": {},
    "accuracy: emulated": {},
    "accuracy: fused": {},
    "accuracy: large, tuned": {},
    "loss of emulated less large": { below: -0.05 },
    "loss of emulated less small, tuned": { below: -0.05 },
    "loss of fused less large": { below: -0.05 },
    "accuracy of emulated less large": { above: 0.02 },
    "accuracy of fused less emulated": {},
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const { probabilities } = markovLanguage(seed, SYMBOLS, 2, 0.3, 0.05);
    const random = new Random(seed, "task");
    const task = tilted(
      probabilities,
      Array.from({ length: SYMBOLS }, () => 6 ** (2 * random.uniform() - 1)),
    );
    const language = textsOf(probabilities, seed, "language", 1024);
    const [lesson, test] = [textsOf(task, seed, "lesson", 256), textsOf(task, seed, "test", 96)];
    const course = { method: kd as never, lr: 0.01, seed };
    const large = await decoder(gpu, 48, 2, seed);
    const small = await decoder(gpu, 8, 1, seed + 50);
    await learn(large, { ...course, data: rowsOf(language, 32, seed), steps: 200 });
    await learn(small, { ...course, data: rowsOf(language, 32, seed + 1), steps: 200 });
    const [tuned, expert] = [await copyOf(large), await copyOf(small)];
    await learn(tuned, { ...course, lr: 0.003, data: rowsOf(lesson, 32, seed + 2), steps: 60 });
    await learn(expert, { ...course, data: rowsOf(lesson, 32, seed + 3), steps: 60 });
    const alone: Rule = { views: [{ model: 0 }], begin: () => (said) => said[0]! };
    const three = [large, expert, small];
    const seen = viewed(three.map(({ sizes }, i) => ({ ref: `model ${i}`, sizes })));
    const found = {
      large: await scored(alone, [large], test),
      "small, tuned": await scored(alone, [expert], test),
      emulated: await scored(makeRule(bindDefaults(eft), seen, undefined), three, test),
      fused: await scored(makeRule(bindDefaults(dlf), seen, undefined), three, test),
      "large, tuned": await scored(alone, [tuned], test),
    };
    for (const model of [large, small, tuned, expert]) model.free();
    const { large: plain, "small, tuned": taught, emulated, fused, "large, tuned": ceiling } = found;
    return {
      "loss: large": plain.loss,
      "loss: small, tuned": taught.loss,
      "loss: emulated": emulated.loss,
      "loss: fused": fused.loss,
      "loss: large, tuned": ceiling.loss,
      "accuracy: large": plain.accuracy,
      "accuracy: small, tuned": taught.accuracy,
      "accuracy: emulated": emulated.accuracy,
      "accuracy: fused": fused.accuracy,
      "accuracy: large, tuned": ceiling.accuracy,
      "loss of emulated less large": emulated.loss - plain.loss,
      "loss of emulated less small, tuned": emulated.loss - taught.loss,
      "loss of fused less large": fused.loss - plain.loss,
      "accuracy of emulated less large": emulated.accuracy - plain.accuracy,
      "accuracy of fused less emulated": fused.accuracy - emulated.accuracy,
    };
  },
});
