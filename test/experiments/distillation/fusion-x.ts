import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as fusion } from "../../../src/distill/methods/fusion-x.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as ensemble } from "../../../src/distill/methods/logit-ensemble.ts";
import { rewarded } from "../../../src/distill/sources.ts";
import type { Model } from "../../../src/model/model.ts";
import { liveTeacher } from "../../../src/run/teachers/teacher.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, oneBatch, SYMBOLS } from "../distill-languages.ts";
import { beliefs, copyOf, learn, markovRows, mean, nll, rowsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`fusion-x`: three specialists and a generalist",
  about: `Three languages of 12 symbols; a specialist of each (24 columns, 512 texts) and a generalist that has read 16 texts of each for 40
steps and goes on with the same texts for 60, what sources say and the labels counting alike. Losses are means over other texts of the
three languages. "Noise": what a fourth source that has read nothing changes of it, less with the gate than with fixed
shares, as the paper has it. That the gate is ahead of fixed shares without it was not found.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "gated − labels": { below: -0.15 },
    "gated − softmax": {},
    "gated − best": {},
    "gated − mean of the teachers": {},
    "noise, gated ÷ softmax": { below: 0.8 },
    "noise, gated": {},
    "noise, softmax": {},
    "labels, loss": {},
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: SYMBOLS, order: 1, length: LENGTH, concentration: 0.2, smoothing: 0.01 };
    const seeds = [seed, seed + 100, seed + 200];
    const texts = seeds.map((s) => markovRows(s, 512, language));
    const tests = seeds.map((s) => oneBatch(markovRows(s, 48, language, "test")));
    const specialists: Model[] = [];
    for (const [i, rows] of texts.entries()) {
      const model = await decoder(gpu, 24, 1, seed + i);
      await learn(model, { method: kd, data: rowsOf(rows, 32, seed), steps: 100, lr: 0.02, seed });
      specialists.push(model);
    }
    const noise = await decoder(gpu, 24, 1, seed + 9);
    const few = texts.flatMap((rows) => rows.slice(0, 16));
    const base = await decoder(gpu, 16, 1, seed + 50);
    await learn(base, { method: kd, data: rowsOf(few, 24, seed), steps: 40, lr: 0.01, seed });
    const run = async (method: unknown, sources: readonly Model[], fuse?: string) => {
      const student = await copyOf(base);
      const teachers = sources.map((model, k) => rewarded(liveTeacher(model, SYMBOLS), k));
      await learn(student, {
        ...{ method: method as DistillMethod, teachers, data: rowsOf(few, 24, seed + 9), steps: 60, lr: 0.01, seed },
        ...{ settings: fuse ? { fuse } : {}, weights: { distill: 0.5, labels: 0.5 } },
      });
      const losses: number[] = [];
      for (const test of tests) losses.push(nll(await beliefs(student, test)));
      student.free();
      return mean(losses);
    };
    const labels = await run(kd, []);
    const gated = await run(fusion, specialists, "gated");
    const soft = await run(fusion, specialists, "softmax");
    const noisy = [...specialists, noise];
    const moved = {
      gated: Math.abs((await run(fusion, noisy, "gated")) - gated),
      softmax: Math.abs((await run(fusion, noisy, "softmax")) - soft),
    };
    const found = {
      "gated − labels": gated - labels,
      "gated − softmax": gated - soft,
      "gated − best": gated - (await run(fusion, specialists, "best")),
      "gated − mean of the teachers": gated - (await run(ensemble, specialists)),
      "noise, gated ÷ softmax": moved.gated / moved.softmax,
      "noise, gated": moved.gated,
      "noise, softmax": moved.softmax,
      "labels, loss": labels,
    };
    for (const model of [...specialists, noise, base]) model.free();
    return found;
  },
});
