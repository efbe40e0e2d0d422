/** Prompts that let a base model go on: seeds as demonstrations, texts of a corpus, and the instruction in question. */
import { stopIn } from "../../run/generating/stop-texts.ts";
import { rouge } from "../../text/rouge.ts";

export interface Seed {
  readonly instruction: string;
  readonly answer: string;
  readonly place: string;
}

/** The words around instructions, answers and texts. */
export interface Form {
  readonly ask: string;
  readonly reply: string;
  readonly end: string;
  readonly given: string;
}

const shownSeed = ({ instruction, answer }: Seed, { ask, reply, end }: Form) =>
  `${ask}${instruction}${reply}${answer}${end}`;

/** After it a model writes an instruction like those that are shown. */
export const instructionPrompt = (seeds: readonly Seed[], form: Form): string =>
  `${seeds.map((seed) => shownSeed(seed, form)).join("")}${form.ask}`;

/** What a row asks: texts, where some are shown, and the instruction. */
export const rowPrompt = (instruction: string, texts: readonly string[], { given, ask, reply, end }: Form): string =>
  `${texts.map((text) => `${given}${text}${end}`).join("")}${ask}${instruction}${reply}`;

/** After it a model writes the answer to an instruction. */
export const answerPrompt = (seeds: readonly Seed[], asked: string, form: Form): string =>
  `${seeds.map((seed) => shownSeed(seed, form)).join("")}${asked}`;

/** What was made of a text that a model wrote, or why it is left out. */
export type Judged = { readonly text: string } | { readonly fault: Fault };
export type Fault = "empty" | "unfinished" | "shape" | "alike" | "copied";

/** The instruction in what was written; `pool` are those that there are. */
export function judgeInstruction(written: string, pool: readonly string[], form: Form, mostAlike: number): Judged {
  const at = stopIn(written, [form.reply, form.end]);
  if (at === undefined) return { fault: "unfinished" };
  const text = written.slice(0, at).trim();
  if (!/[\p{L}\p{N}]/u.test(text)) return { fault: "empty" };
  const [ask, given] = [form.ask.trim(), form.given.trim()];
  if ((ask !== "" && text.includes(ask)) || (given !== "" && text.includes(given))) return { fault: "shape" };
  return pool.some((other) => other === text || rouge(other, text).f1 >= mostAlike) ? { fault: "alike" } : { text };
}

/** The answer in what was written to an instruction that was shown these texts. */
export function judgeAnswer(written: string, instruction: string, texts: readonly string[], { end }: Form): Judged {
  const at = stopIn(written, [end]);
  if (at === undefined) return { fault: "unfinished" };
  const text = written.slice(0, at).trim();
  if (text === "") return { fault: "empty" };
  return text === instruction || texts.some((other) => other.trim() === text) ? { fault: "copied" } : { text };
}
