/** The rows of a shift: of each domain, made worse, and behind examples. */
import { corruptedText } from "../../data/corrupting/apply.ts";
import type { Corruption } from "../../data/corrupting/contract.ts";
import { corruptedRow } from "../../data/corrupting/streams.ts";
import { exampleMaker } from "../../data/examples.ts";
import type { GroupReference } from "../../data/groups.ts";
import { Random } from "../../data/random.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { encodeRow } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { Reader, ScoringData } from "../../run/scoring/read-rows.ts";

export interface Domain {
  readonly name: string;
  readonly rows: readonly LocatedRow[];
}

/** Reads a domain. Throws UserError for one without rows. */
export async function readDomain(group: GroupReference): Promise<Domain> {
  const rows: LocatedRow[] = [];
  for await (const row of readRows(group)) rows.push(row);
  if (rows.length === 0) throw new UserError(`${group.path} has no rows`, "accuracy is a share of rows");
  return { name: group.name, rows };
}

/** What a model reads of rows. Throws UserError for a row that it cannot take, or that does not fit. */
export function dataOf(reader: Reader, rows: readonly LocatedRow[]): ScoringData {
  if (!reader.tools) {
    const make = exampleMaker(reader.examples);
    return { kind: "examples", examples: rows.map((row) => make(row, 0)) };
  }
  const { encode } = reader.tools;
  const sequences = rows.flatMap(({ row, place }) => {
    if (row.form !== "completion")
      throw new UserError(
        `${place}: a row of ${row.form} has no answer that is right or wrong`,
        "give a language model rows of prompt and completion",
      );
    return encodeRow({ row, place }, { ...encode, overflow: "refuse", group: 0 });
  });
  return { kind: "text", sequences };
}

/** How rows get worse. */
export interface Worse {
  readonly method: Corruption;
  /** 0: they stay as they are. */
  readonly severity: number;
  readonly range: readonly number[];
  readonly shape: readonly number[] | undefined;
  readonly mask: string;
  readonly seed: number;
}

/**
 * Rows with worse inputs; of prompt and completion the prompt. Throws UserError where a corruption does not go with
 * one.
 */
export function worseRows(rows: readonly LocatedRow[], { method, severity, seed, ...how }: Worse): LocatedRow[] {
  if (severity === 0) return [...rows];
  return rows.map((located, i) => {
    const random = new Random(seed, "shift", method.name, severity, i);
    const { row, place } = located;
    if (row.form !== "completion") return corruptedRow(method, located, { ...how, severity }, random);
    const prompt = corruptedText(method, row.prompt, { ...how, severity }, { random, place });
    // A space at the end sets the answer off, and stays.
    return { row: { ...row, prompt: prompt + /\s*$/.exec(row.prompt)![0] }, place };
  });
}

/** Rows of prompt and completion behind `count` examples of a bank, drawn by the seed; none asks the same. */
export function behindExamples(
  rows: readonly LocatedRow[],
  bank: readonly LocatedRow[],
  { count, separator, seed }: { count: number; separator: string; seed: number },
): LocatedRow[] {
  if (count === 0) return [...rows];
  const shown = bank.flatMap(({ row }) => (row.form === "completion" ? [row] : []));
  return rows.map(({ row, place }, i) => {
    if (row.form !== "completion") return { row, place };
    const others = new Random(seed, "shots", i).shuffled(shown).filter(({ prompt }) => prompt !== row.prompt);
    if (others.length < count)
      throw new UserError(`${place}: there are ${others.length} other prompts, and --shots asks for ${count}`);
    const before = others.slice(0, count).map(({ prompt, completion }) => `${prompt}${completion}${separator}`);
    return { row: { ...row, prompt: `${before.join("")}${row.prompt}` }, place };
  });
}
