/**
 * What open-unlearning wrote of a model that never saw what is to be forgotten: TOFU_EVAL.json. Its truth ratios stand
 * in for the model in forget-quality, and the area of its min-k attack in privleak.
 */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type JsonObject, parseJson } from "../../json.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

export interface GoldLog {
  readonly file: string;
  /** Of every row to forget. */
  readonly ratios: readonly number[];
  /** Of the min-k attack, where it was made. */
  readonly area: number | undefined;
  /** The number of a name. */
  value(name: string): number | undefined;
}

/** What is under a name, in whatever case it is written. */
function entry(log: JsonObject, name: string): JsonObject | undefined {
  const key = Object.keys(log).find((each) => each.toLowerCase() === name.toLowerCase());
  const value = key === undefined ? undefined : log[key];
  return isObject(value) ? value : undefined;
}

const numberAt = (found: JsonObject | undefined, key: string): number | undefined =>
  typeof found?.[key] === "number" ? found[key] : undefined;

/** Throws UserError for a file that is no such log. */
export function readGoldLog(file: string): GoldLog {
  const wanted = "give TOFU_EVAL.json of the model that was trained on the rows to keep alone";
  let text: string;
  try {
    text = decodeText(fs.readFileSync(file), file);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`--gold-log ${file} cannot be read`, wanted);
  }
  const { value: log } = parseJson(text, file);
  if (!isObject(log)) throw new UserError(`--gold-log ${file} is not a log`, wanted);
  const rows = entry(log, "forget_truth_ratio")?.value_by_index;
  const ratios = isObject(rows)
    ? Object.values(rows).flatMap((row) => (isObject(row) && typeof row.score === "number" ? [row.score] : []))
    : [];
  if (ratios.length === 0)
    throw new UserError(`--gold-log ${file} has no truth ratios of rows (forget_truth_ratio, value_by_index)`, wanted);
  return {
    file,
    ratios,
    area: numberAt(entry(log, "mia_min_k"), "agg_value") ?? numberAt(entry(log, "mia_min_k"), "auc"),
    value: (name) => numberAt(entry(log, name), "agg_value"),
  };
}

/** Rows of one group with these truth ratios, as a model would have them that was scored here. */
export const rowsWithRatios = (ratios: readonly number[], group: number): ScoredRow[] =>
  ratios.map((ratio) => ({
    group,
    targets: Int32Array.of(0),
    nll: Float32Array.of(0),
    argmax: Uint32Array.of(0),
    confidence: Float32Array.of(1),
    truth: { right: [0], wrong: [-Math.log(ratio)] },
  }));
