/**
 * The rows that a stream keeps of its tasks, as JSONL beside its result; earlier-rows.ts reads them again.
 *
 * Every line is a row as data has it (input_ids and labels, or x and label), with two keys more: `task`, the name of
 * its task, and `seen`, of how many rows the buffer is a choice.
 */
import fs from "node:fs";
import type { Example } from "../../data/examples.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { forget, temporaryFor } from "../../temporary.ts";
import type { Learner } from "./contract.ts";
import { besideResult } from "./further.ts";
import type { StreamRun } from "./stages.ts";

/** The end of the file's name, after that of the result. */
const NAME = "buffer.jsonl";

/** A row as data has it; undefined of a pair of texts, which no task of a stream has. */
function rowOf(content: Sequence | Example): JsonObject | undefined {
  if ("ids" in content) {
    const { ids, labels } = content;
    return { input_ids: [...ids], ...(labels === ids ? {} : { labels: [...labels] }) };
  }
  if ("x" in content) return { x: [...content.x], label: content.label };
  if ("pair" in content) return undefined;
  const { ids, types } = content.tokens;
  return {
    input_ids: [...ids],
    ...(types.some((type) => type !== 0) ? { token_type_ids: [...types] } : {}),
    label: content.label,
  };
}

const keeps = (learner: Learner): boolean => learner.memoryRows !== undefined;

/** Throws UserError where a file of an earlier run lies there, of a stream that has not begun to learn. */
export function refuseBuffer({ context, learner, opened }: StreamRun): void {
  const { overwrite, resume } = context.options;
  const file = besideResult(context.out, NAME);
  if (!keeps(learner) || file === undefined || opened.saved || overwrite || resume || !fs.existsSync(file)) return;
  throw new UserError(
    `${file} is there already, and the rows that are kept go there`,
    "write to another place, or give --overwrite",
  );
}

/** Writes the rows that are kept at the end, in their order, where there are some. */
export function saveBuffer({ context, learner, read }: StreamRun): void {
  const rows = learner.memoryRows?.() ?? [];
  if (rows.length === 0) return;
  const file = besideResult(context.out, NAME);
  if (file === undefined) {
    context.info(
      `the ${rows.length} rows of the buffer are not written: they go beside a result that is a file or a folder`,
    );
    return;
  }
  const names = new Map([...read.tasks, ...read.earlier].map(({ index, name }) => [index, name]));
  const seen = learner.memorySeen?.() ?? rows.length;
  const lines = rows.flatMap((ref) => {
    const row = rowOf(read.rows.contentOf(ref));
    return row ? [`${JSON.stringify({ ...row, task: names.get(ref.task) ?? "written", seen })}\n`] : [];
  });
  const temporary = temporaryFor(file);
  fs.writeFileSync(temporary, lines.join(""));
  fs.renameSync(temporary, file);
  forget(temporary);
  context.info(`the ${rows.length} rows of the buffer are in ${file}`);
}
