/**
 * Fine-tuning of small language models: large updates at a low rate that neither warms up nor falls, for many passes,
 * of which the best checkpoint on held-out rows is taken. Pareja et al. 2024, Unveiling the Secret Recipe: A Guide For
 * Supervised Fine-Tuning Small LLMs, https://arxiv.org/abs/2412.13337
 *
 * Phases of data are stacked (all rows mixed) or phased (one after the other); the study finds no difference. A sweep
 * of updates and rates can be cut early: the probe early-signal of evaluate.
 */
import { definePreset } from "../../presets/contract.ts";
import { batchOf, measures, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "small-sft",
  title: "Fine-tuning of small models",
  about: "large updates at a low constant rate, phases of data at once or in a row, the best of ten passes",
  cite: "arXiv:2412.13337",
  options: {
    phases: { type: "string[]", required: true, help: "rows of prompts and answers, one file a phase", value: "FILE" },
    held: { type: "string", required: true, help: "held-out rows that choose the best checkpoint", value: "FILE" },
    order: { type: "'stacked' | 'phased'", default: "stacked", help: "all phases at once, or one after the other" },
    batch: { type: "number.integer >= 1", default: 3840, help: "rows of an update", value: "N" },
    max_length: { type: "number.integer >= 1", default: 4096, help: "tokens of a row", value: "N" },
    sft_lr: { type: "number > 0", default: 2e-5, help: "learning rate, constant" },
    sft_warmup: { type: "number.integer >= 0", default: 0, help: "steps of linear warm-up; 25 to 100 do no harm" },
    sft_epochs: { type: "number > 0", default: 10, help: "passes over all rows" },
    held_every: { type: "number.integer >= 1", default: 20, help: "steps between looks at --held", value: "N" },
  },
  stages(given) {
    const { model, to, values } = given;
    const { phases, held, order, held_every } = values;
    const [last, best] = [`${to}/last`, `${to}/best`];
    const { words, ...stage } = trains(
      order === "phased" ? "One phase of data after the other" : "All phases of data at once",
      ...(["curriculum", model] as const),
      {
        ...{ method: order, ...batchOf(values.batch, given), max_length: values.max_length },
        ...{ schedule: "constant", lr: values.sft_lr, warmup: values.sft_warmup, epochs: values.sft_epochs },
        ...{ eval_data: held, eval_every: held_every, best },
      },
      last,
    );
    const groups = phases.flatMap((file, i) => ["--data", `phase-${i + 1}=${file}`]);
    return [{ ...stage, words: [...words, ...groups] }, measures([model, last, best], given)];
  },
});
