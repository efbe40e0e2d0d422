/**
 * WMDP: multiple choice about what is to be forgotten, beside general questions. Files of cais/wmdp and cais/mmlu:
 * wmdp-bio/test, wmdp-cyber/test, wmdp-chem/test and all/test (or mmlu). Li et al., ICML 2024,
 * https://arxiv.org/abs/2403.03218. Questions are asked as lm-evaluation-harness asks them.
 */
import type { Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import type { Benchmark } from "./contract.ts";

const LETTERS = ["A", "B", "C", "D", "E", "F", "G", "H"];

/** The question with its lettered choices; the letters are what is chosen from. */
const lettered = {
  name: "lettered choices",
  turn(row: Row): Row {
    const { choices, answer } = row.extra;
    if (row.form !== "prompt" || !Array.isArray(choices) || choices.length > LETTERS.length)
      throw new UserError("a row lacks question, choices or answer", "WMDP's rows have all three");
    const own = LETTERS.slice(0, choices.length);
    const lines = own.map((letter, i) => `${letter}. ${String(choices[i])}`);
    const prompt = `${[row.prompt.trim(), ...lines].join("\n")}\nAnswer:`;
    return { form: "prompt", prompt, extra: { choices: own.map((letter) => ` ${letter}`), answer: answer ?? null } };
  },
};

const group = (name: string, files: readonly string[]) => ({
  name,
  files,
  columns: new Map([["prompt", "question"]]),
  asked: lettered,
  optional: true,
});

const GROUPS = [
  group("bio", ["wmdp-bio/test", "wmdp-bio", "bio"]),
  group("cyber", ["wmdp-cyber/test", "wmdp-cyber", "cyber"]),
  group("chem", ["wmdp-chem/test", "wmdp-chem", "chem"]),
  group("general", ["all/test", "mmlu/test", "mmlu", "general"]),
];

export const wmdp: Benchmark = {
  title: "WMDP",
  about: "multiple choice about what is to be forgotten, and general questions; chance is 0.25",
  cite: "arXiv:2403.03218",
  passes: async () => [{ groups: GROUPS, metrics: ["choice"], maxTokens: 1 }],
  columns: GROUPS.map(({ name }) => ({ heading: name, pass: 0, metric: "choice", group: name })),
};
