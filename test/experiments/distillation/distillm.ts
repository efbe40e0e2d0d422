import type { Batch } from "../../../src/data/batch.ts";
import type { BatchesGiven } from "../../../src/distill/capability.ts";
import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as distillm } from "../../../src/distill/methods/distillm.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { ReplayState, replayedBatches } from "../../../src/distill/replay.ts";
import { sampledBatches } from "../../../src/distill/sampled.ts";
import type { Model } from "../../../src/model/model.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { decoder, LENGTH, oneBatch, SYMBOLS, written } from "../distill-languages.ts";
import { beliefs, compare, learn, markovRows, nll, rowsOf, type Source } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`distillm`: own answers as the held-out loss rises",
  about: `The teacher of \`taid\`; a student of 16 columns reads 16 texts for 120 steps by skew KL, as they are, with half of all batches its own
answers, or with \`distillm\`'s share of them, of which the held-out loss on 32 other texts decides every 5 steps, with no slack. "Own" is the
reverse KL on what the student itself writes.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "distillm ÷ texts, own": { below: 0.8 },
    "distillm ÷ half own, own": {},
    "distillm ÷ texts, loss": { below: 0.9 },
    "distillm, share at the end": { above: 0.1 },
    "distillm, batches written": {},
    "distillm, batches used again": {},
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
    const rows = markovRows(seed, 1024, language);
    const test = oneBatch(markovRows(seed, 96, language, "test"));
    const held = oneBatch(rows.slice(600, 632));
    const teacher = await decoder(gpu, 48, 2, seed);
    await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
    const options = { sample_temperature: 1, sample_tokens: LENGTH - 2, prompt_tokens: 2, eval_every: 5 };
    const tools = { tokenizer: undefined, encode: { maxLength: LENGTH + 1 }, files: new Map() };
    const steps = 120;
    const little = () => rowsOf(rows.slice(0, 16), 16, seed + 9);
    const run = async (dataOf: (student: Model) => Source) => {
      const student = await decoder(gpu, 16, 1, seed + 50);
      const data = dataOf(student);
      const method = distillm as never as DistillMethod;
      await learn(student, { method, teachers: [teacher], data, steps, lr: 0.01, seed });
      const answers = await written(student, rows.slice(900, 964));
      const own = compare(await beliefs(teacher, answers), await beliefs(student, answers)).reverse;
      const loss = nll(await beliefs(student, test));
      student.free();
      return { own, loss };
    };
    const texts = await run(little);
    const half = await run((student) =>
      sampledBatches(little(), student, { seed, whose: "student", share: 0.5, options, tools }),
    );
    const state = new ReplayState({ slack: 0, buffer: 128 });
    const counts = { written: 0, kept: 0 };
    const adaptive = await run((student) => {
      const drawing = { student, teacher: undefined, tools, seed, batches: steps, options };
      const { source, controllers } = replayedBatches(state, little(), drawing as never as BatchesGiven);
      let step = 0;
      return {
        async next(): Promise<{ batch: Batch }> {
          const losses = async () => [{ name: "held", loss: nll(await beliefs(student, held)), counted: 1 }];
          if (step > 0 && step % options.eval_every === 0) await controllers[0]!.after!(step, { groups: [], losses });
          step++;
          const before = state.kept;
          const drawn = await source.next();
          if (state.kept !== before) counts.written++;
          else if ("documents" in drawn.batch && before.includes(drawn.batch.documents[0]!.sequence)) counts.kept++;
          return drawn;
        },
      };
    });
    teacher.free();
    return {
      "distillm ÷ texts, own": adaptive.own / texts.own,
      "distillm ÷ half own, own": adaptive.own / half.own,
      "distillm ÷ texts, loss": adaptive.loss / texts.loss,
      "distillm, share at the end": state.phi,
      "distillm, batches written": counts.written,
      "distillm, batches used again": counts.kept,
    };
  },
});
