/**
 * Mix-CPT: a domain is learnt from its documents, with instructions and preferences as plain text among them, near the
 * model as it was; then the format from few easy rows. Jiang et al. 2024, https://arxiv.org/abs/2407.10804
 *
 *   mixture      data plain: documents, prompts with answers, prompts with chosen answers, every token of which counts
 *   knowledge    distill --method lssd --teacher self, whose target has the label put first; packed rows
 *   easy rows    curriculum select --method lowest-loss: the instructions that the model finds likeliest now
 *   format       fine-tuning on them, then DPO
 *
 * Preferences are all taken, as the selection reads prompts with one answer. The weight of the constraint against the
 * labels' loss, and how many rows are easy, are ingot's choice.
 */
import { definePreset, type Stage } from "../../presets/contract.ts";
import { batchOf, flags, measures, trains } from "../../presets/stages.ts";

export const method = definePreset({
  name: "mix-cpt",
  title: "Mix-CPT",
  about: "documents, instructions and preferences as one text near the model as it was, then easy rows and preferences",
  cite: "arXiv:2407.10804",
  options: {
    documents: { type: "string", required: true, help: "texts of the domain", value: "FILE" },
    instructions: { type: "string", required: true, help: "rows of prompts and answers", value: "FILE" },
    preferences: { type: "string", help: "rows of prompt, chosen and rejected; no DPO when left out", value: "FILE" },
    batch: { type: "number.integer >= 1", default: 64, help: "rows or pairs of an update", value: "N" },
    max_length: { type: "number.integer >= 1", default: 2048, help: "tokens of a row", value: "N" },
    constraint: {
      type: "0 <= number <= 1",
      default: 0.5,
      help: "weight of self-distillation; the labels have the rest",
    },
    knowledge_lr: { type: "number > 0", default: 1e-5, help: "learning rate on the mixture" },
    knowledge_epochs: { type: "number > 0", default: 1, help: "passes over the mixture" },
    easy: { type: "number.integer >= 1", default: 5000, help: "instructions that are learnt as format", value: "N" },
    sft_lr: { type: "number > 0", default: 1e-5, help: "learning rate of fine-tuning" },
    sft_epochs: { type: "number > 0", default: 2, help: "passes of fine-tuning" },
    dpo_lr: { type: "number > 0", default: 1e-6, help: "learning rate of preferences" },
    beta: { type: "number > 0", default: 0.1, help: "how closely preferences hold the model" },
  },
  stages(given) {
    const { model, to, values } = given;
    const { documents, instructions, preferences, constraint, max_length, easy, beta } = values;
    const [mixture, known, few] = [`${to}/mixture.jsonl`, `${to}/known`, `${to}/easy.jsonl`] as const;
    const [format, aligned] = [`${to}/format`, `${to}/aligned`] as const;
    const update = { ...batchOf(values.batch, given), schedule: "cosine" };
    const files = [documents, instructions, ...(preferences === undefined ? [] : [preferences])];
    const learns: Stage = {
      title: "Knowledge: all tokens of the mixture, near the model as it was",
      words: [
        ...["ingot", "distill"],
        ...flags({ teacher: "self", student: model, method: "lssd", data: mixture, pack: true, ...update, max_length }),
        ...flags({ distill_weight: constraint, label_weight: 1 - constraint }),
        ...flags({ lr: values.knowledge_lr, epochs: values.knowledge_epochs, resume: true }),
      ],
      makes: known,
    };
    return [
      { title: "Everything as plain text", words: ["ingot", "data", "plain", ...files], makes: mixture },
      learns,
      {
        title: "Instructions that the model finds easiest now",
        words: [
          "ingot",
          "curriculum",
          "select",
          known,
          ...flags({ data: instructions, select_by: "lowest-loss", keep: easy }),
        ],
        makes: few,
      },
      trains(
        "Format: fine-tuning on them",
        ...(["train", known] as const),
        { data: few, ...update, lr: values.sft_lr, epochs: values.sft_epochs, max_length },
        format,
      ),
      ...(preferences === undefined
        ? []
        : [
            trains(
              "Preferences",
              ...(["align", format] as const),
              { method: "dpo", beta, data: preferences, ...update, lr: values.dpo_lr, epochs: 1, max_length },
              aligned,
            ),
          ]),
      measures([model, known, format, ...(preferences === undefined ? [] : [aligned])], given),
    ];
  },
});
