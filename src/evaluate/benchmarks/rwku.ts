/**
 * RWKU: real people that a model is to forget, asked at three levels, their neighbours, and membership. Files of
 * jinzhuoran/RWKU: forget_level1 to 3, neighbor_level1 and 2, mia_forget, mia_retain. Jin et al. 2024,
 * https://arxiv.org/abs/2406.10890. Prompts have the authors' words, without a chat template.
 */
import type { Row } from "../../data/rows.ts";
import { questioned } from "./asked.ts";
import type { Benchmark } from "./contract.ts";

const BLANK = "Please complete the blank in the following question.";
const BRIEF = "Please briefly answer the following question.";

/** Level 3 has prompts that mislead: some bring examples of their own, or the beginning of the answer. */
function adversarial(question: string, { extra }: Row): string {
  if (extra.type === "affirmative suffix") return `${BRIEF}\nQuestion: ${question}`;
  return extra.type === "incontext learning"
    ? `${BRIEF}\n${question}\nAnswer:`
    : `${BRIEF}\nQuestion: ${question}\nAnswer:`;
}

const plain = (words: string) => questioned(words, (question) => `${words}\nQuestion: ${question}\nAnswer:`);
const group = (name: string, file: string, asked: ReturnType<typeof questioned>) => ({
  name,
  files: [file, `${file}/test`],
  columns: new Map([["question", "query"]]),
  asked,
  optional: true,
});

const ASKED = [
  group("forget", "forget_level1", plain(BLANK)),
  group("forget-2", "forget_level2", plain(BRIEF)),
  group("forget-3", "forget_level3", questioned("adversarial", adversarial)),
  group("neighbour-1", "neighbor_level1", plain(BLANK)),
  group("neighbour-2", "neighbor_level2", plain(BRIEF)),
];
const HEADINGS = ["forget, 1", "forget, 2", "forget, 3", "neighbours, 1", "neighbours, 2"];

export const rwku: Benchmark = {
  title: "RWKU",
  about: "people to forget at three levels, their neighbours, and losses of passages about them",
  cite: "arXiv:2406.10890",
  passes: async () => [
    { groups: ASKED, metrics: ["rouge-l"], maxTokens: 30, stop: ["\n"] },
    {
      groups: ["forget", "retain"].map((name) => ({
        name,
        files: [`mia_${name}`, `mia_${name}/test`],
        optional: true,
      })),
      metrics: ["loss"],
      maxTokens: 1,
    },
  ],
  columns: [
    ...ASKED.map(({ name }, i) => ({ heading: HEADINGS[i]!, pass: 0, metric: "rouge-l", group: name })),
    { heading: "loss, forget", pass: 1, metric: "loss", group: "forget" },
    { heading: "loss, retain", pass: 1, metric: "loss", group: "retain" },
  ],
};
