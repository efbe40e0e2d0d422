/**
 * A prompt and the steps of an answer to it as tokens: every step is followed by a separator, whose last token stands
 * for the step. TRL's layout of process supervision; Lightman et al. 2023, https://arxiv.org/abs/2305.20050
 *
 *   {"prompt": "2+3*4?", "completions": ["3*4=12", "2+12=14"], "labels": [true, true]}
 */
import { UserError } from "../errors.ts";
import { IGNORED, type LocatedRow } from "./rows.ts";
import type { Sequence } from "./sequences.ts";
import { encodePrompt } from "./special-tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface StepsRow {
  readonly prompt: string;
  readonly steps: readonly string[];
  /** Whether each step is right; 0 of all steps where nothing says so. */
  readonly labels: readonly number[];
  readonly place: string;
}

/** The steps of a row. Throws UserError for a row of another form, and for a label that is neither true nor false. */
export function stepsOf({ row, place }: LocatedRow): StepsRow {
  const { completions: steps, labels } = row.extra;
  const isText = (step: unknown): step is string => typeof step === "string" && step.trim() !== "";
  if (row.form !== "prompt" || !Array.isArray(steps) || steps.length === 0 || !steps.every(isText))
    throw new UserError(
      `${place}: expected prompt, completions (a list of steps) and labels, found a row of ${row.form}`,
      'a row is {"prompt": "..", "completions": ["step", ..], "labels": [true, ..]}',
    );
  const isLabel = (label: unknown) => typeof label === "boolean" || label === 0 || label === 1;
  if (!Array.isArray(labels) || labels.length !== steps.length || !labels.every(isLabel))
    throw new UserError(
      `${place}: labels should be true or false for each of ${steps.length} steps, found ${JSON.stringify(labels ?? null).slice(0, 60)}`,
      "give every step a label",
    );
  return { prompt: row.prompt, steps, labels: labels.map(Number), place };
}

export interface StepsOptions {
  readonly tokenizer: Tokenizer;
  readonly separator: string;
  readonly maxLength: number;
  readonly group?: number;
}

/**
 * The sequence of a row: `labels` is a step's label at the last token of its separator, and IGNORED elsewhere; cut at
 * its end where it is too long. Throws UserError where no step is left.
 */
export function encodeSteps(
  { prompt, steps, labels, place }: StepsRow,
  { tokenizer, separator, maxLength, group = 0 }: StepsOptions,
): Sequence {
  const end = [...tokenizer.encode(separator)];
  if (end.length === 0)
    throw new UserError(`--separator ${JSON.stringify(separator)} has no tokens`, "name a text that stands for itself");
  const ids = [...encodePrompt(tokenizer, prompt)];
  const marked: number[] = ids.map(() => IGNORED);
  for (const [i, step] of steps.entries()) {
    const own = [...tokenizer.encode(step), ...end];
    ids.push(...own);
    marked.push(...Array<number>(own.length - 1).fill(IGNORED), labels[i]!);
  }
  const isCut = ids.length > maxLength;
  const kept = marked.slice(0, maxLength);
  if (!kept.some((label, i) => i > 0 && label >= 0))
    throw new UserError(
      `${place}: no step ends within ${maxLength} tokens`,
      "raise --max-length, or leave the row out",
    );
  return {
    ids: Int32Array.from(ids.slice(0, maxLength)),
    labels: Int32Array.from(kept),
    group,
    place,
    ...(isCut ? { isCut } : {}),
  };
}
