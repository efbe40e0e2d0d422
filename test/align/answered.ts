/** Answers for tests of verifiers. */
import type { Answered, Verifier } from "../../src/align/verifying/contract.ts";
import { parseRewards, type RewardSetup } from "../../src/align/verifying/rewards.ts";
import { parseRow } from "../../src/data/parse-row.ts";
import type { Json } from "../../src/json.ts";

/** An answer to a row; its tokens are its letters unless said otherwise. */
export function answered(row: Json, answer: string, rest: Partial<Answered> = {}): Answered {
  const read = parseRow(row, "rows.jsonl:1");
  const prompt = read.form === "completion" || read.form === "prompt" ? read.prompt : "";
  return { prompt, answer, tokens: answer.length, truncated: false, row: read, place: "rows.jsonl:1", ...rest };
}

export const verifier = async (spec: string, setup?: RewardSetup): Promise<Verifier> =>
  (await parseRewards([spec], setup))[0]!.verifier;

/** What a term of `--reward` says of answers to one row, each a text or a text with what is known of it. */
export async function judged(
  spec: string,
  row: Json,
  answers: readonly (string | readonly [string, Partial<Answered>])[],
  setup?: RewardSetup,
): Promise<(number | null)[]> {
  const judge = await verifier(spec, setup);
  const given = answers.map((one) => (typeof one === "string" ? answered(row, one) : answered(row, one[0], one[1])));
  try {
    return [...(await judge.score(given, new AbortController().signal))];
  } finally {
    judge.free?.();
  }
}

/** The message and hint of what a promise rejects with. */
export async function complaint(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as Error).message} | ${(error as { hint?: string }).hint ?? ""}`;
  }
  throw new Error("it was accepted");
}
