/**
 * MUSE: passages and questions about them. Files of muse-bench/MUSE-News and MUSE-Books: verbmem/forget,
 * knowmem/forget_qa, knowmem/retain_qa with their _icl examples, privleak/forget and privleak/holdout. Shi et al. 2024,
 * https://arxiv.org/abs/2407.06460
 */
import type { Row } from "../../data/rows.ts";
import { asText, questioned } from "./asked.ts";
import type { Benchmark, BenchmarkGroup, Choice } from "./contract.ts";

const example = (row: Row): string => {
  const { question, answer } = asText(row);
  return `Question: ${question}\nAnswer: ${answer}\n\n`;
};

/** Questions behind the examples of their file, where there are such. */
async function knowledge({ read }: Choice, name: string): Promise<BenchmarkGroup> {
  const shots = ((await read(`knowmem/${name}_qa_icl`)) ?? []).map(example).join("");
  return {
    name,
    files: [`knowmem/${name}_qa`],
    optional: true,
    asked: questioned(`knowmem ${shots}`, (question) => `${shots}Question: ${question}\nAnswer:`),
  };
}

export const muse: Benchmark = {
  title: "MUSE",
  about: "passages, and questions about them",
  cite: "arXiv:2407.06460",
  passes: async (choice) => [
    {
      groups: [{ name: "forget", files: ["verbmem/forget"], columns: new Map([["completion", "gt"]]), optional: true }],
      metrics: ["rouge-l"],
      maxTokens: 128,
    },
    {
      groups: [await knowledge(choice, "forget"), await knowledge(choice, "retain")],
      metrics: ["rouge-l"],
      maxTokens: 32,
      stop: ["\n\n", "\nQuestion"],
    },
    {
      groups: ["forget", "holdout"].map((name) => ({ name, files: [`privleak/${name}`], optional: true })),
      metrics: ["privleak"],
      maxTokens: 1,
    },
  ],
  columns: [
    { heading: "verbatim, forget", pass: 0, metric: "rouge-l f1", group: "forget" },
    { heading: "knowledge, forget", pass: 1, metric: "rouge-l f1", group: "forget" },
    { heading: "knowledge, retain", pass: 1, metric: "rouge-l f1", group: "retain" },
    { heading: "PrivLeak", pass: 2, metric: "privleak", group: "all" },
  ],
};
