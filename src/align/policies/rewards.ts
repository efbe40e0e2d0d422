import type { Row } from "../../data/rows.ts";
export interface Answered {
  readonly prompt: string;
  readonly answer: string;
  readonly tokens: number;
  readonly truncated: boolean;
  readonly row: Row;
  readonly place: string;
}
export interface Verifier {
  readonly name: string;
  score(answers: readonly Answered[], signal: AbortSignal): Promise<readonly (number | null)[]>;
  free?(): void;
}
export interface RewardTerm {
  readonly name: string;
  readonly weight: number;
  readonly verifier: Verifier;
}
export async function scoreAll(terms: readonly RewardTerm[], answers: readonly Answered[], signal: AbortSignal) {
  const columns: (readonly (number | null)[])[] = [];
  for (const { verifier } of terms) columns.push(await verifier.score(answers, signal));
  const parts = answers.map((_, i) => columns.map((column) => column[i]!));
  return {
    parts,
    rewards: parts.map((row) => row.reduce<number>((sum, part, t) => sum + terms[t]!.weight * (part ?? 0), 0)),
  };
}
