/** `merge trim`: a model with the tokens that texts need. */
import { readFileSync } from "node:fs";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { textTools } from "../../run/text-tools.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { counted } from "../plan/notes.ts";
import { planTrim, type TrimPlan, trimTables } from "../trim/trim.ts";
import { compareRows, countTokens, type Reading } from "../trim/used-tokens.ts";
import { mixedTable } from "../vocabulary/mixed-table.ts";
import { heightOf, tablesOf } from "../vocabulary/tables.ts";
import type { TRIM } from "./surgery-options.ts";
import { finishStreams, openModel, refuseAdapter, withTables, writeResult } from "./write-tables.ts";

type TrimContext = Context<typeof TRIM>;

/** Longer than any row. */
const ANY_LENGTH = 2 ** 31 - 1;

/** The lines of --keep-tokens. */
function listIn(file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
    return text.split(/\r?\n/).filter((line) => line !== "");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const why = code.startsWith("E") && !code.startsWith("ERR_") ? code : "it is no text in UTF-8";
    throw new UserError(`--keep-tokens ${file} cannot be read (${why})`, "a token a line");
  }
}

/** The groups of --data; none where --keep-tokens alone says what stays. */
function groupsOf({ options }: TrimContext): GroupReference[] {
  if (options.data?.length) return parseGroups(options.data, options.columns);
  if (options.keep_tokens !== undefined) return [];
  throw new UserError("nothing says which tokens stay", "give --data rows.jsonl, or --keep-tokens FILE");
}

async function readingOf(context: TrimContext, files: ReadonlyMap<string, Uint8Array>, ref: string, outputs: number) {
  const sizes = { layers: 0, width: 0, outputs, maxPositions: 0 };
  const { template, turns } = context.options;
  const tools = await textTools(files, ref, sizes, { template, turns, max_length: ANY_LENGTH });
  const done = (rows: number) => context.progress.advance(rows);
  const reading: Reading = { encode: tools.encode, signal: context.signal, done };
  return { reading, tokenizer: tools.tokenizer };
}

/** Whether rows are cut as before, in words. */
async function check(context: TrimContext, groups: readonly GroupReference[], plan: TrimPlan, before: Reading) {
  if (groups.some(({ path }) => path === "-")) {
    context.warn("rows from a pipe are read once, so it is not checked that they are cut as before");
    return undefined;
  }
  const { reading } = await readingOf(context, plan.files, "the result", plan.rows);
  context.progress.start({ unit: "rows" });
  const found = await compareRows(groups, { before, after: reading, old: plan.old });
  context.progress.done();
  if (found.count > 0)
    context.warn(
      `${counted(found.count, "row")} cut into other tokens than before${context.options.min_count > 1 ? ", as --min-count asks" : ""}; the first is ${found.first}`,
    );
  return found.count;
}

export async function trim(context: TrimContext): Promise<Outcome> {
  const { args, out, options } = context;
  if (options.json && !context.dryRun && out === "-")
    throw new UserError("--json and the checkpoint both want stdout", "give -o DIR, or leave out --json");
  const groups = groupsOf(context);
  const keep = listIn(options.keep_tokens);
  const model = await openModel(context, args[0] ?? "-");
  refuseAdapter(model);
  const { checkpoint, ref } = model;
  const height = heightOf(model);
  const { reading, tokenizer } = await readingOf(context, checkpoint.files, ref, Math.max(1, height));
  if (!tokenizer)
    throw new UserError(`${ref} has no tokenizer.json that says which row is which token`, "put it beside the weights");
  context.progress.start({ unit: "rows" });
  const { rows, tokens, counts } = await countTokens(groups, reading);
  context.progress.done();
  const padTo = options.pad_to_multiple_of ?? 1;
  const plan = planTrim(model, counts, tokenizer, { minCount: options.min_count, padTo, keep });
  for (const warning of plan.warnings) context.warn(warning);
  const changed = await check(context, groups, plan, reading);
  const figures = {
    rows,
    tokens,
    kept: plan.kept.counts,
    vocabulary: plan.old.length,
    before: height,
    height: plan.rows,
  };
  const told = `${plan.old.length} of ${height} rows: ${whyOf(plan)}`;
  if (context.dryRun) {
    context.print(told);
    context.json({ ...figures, ...(changed !== undefined && { changed }), out });
    return {};
  }
  const step = { script: "merge trim", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  const shapes = new Map(
    tablesOf(model).map((name) => [name, mixedTable(model.tensors.get(name)!, { count: plan.rows, source: () => 0 })]),
  );
  const tensors = withTables(model, shapes);
  const bytes = await writeResult(context, { tensors, files: plan.files, lineage }, async () =>
    withTables(model, await trimTables(plan)),
  );
  await finishStreams(checkpoint);
  context.json({ out, bytes, tensors: tensors.length, ...figures, ...(changed !== undefined && { changed }) });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told,
    ...(out === "-" ? {} : { next: `bun run inspect ${quote(out)}` }),
  };
}

/** What the tokens that stay are there for. */
const whyOf = ({ kept }: TrimPlan): string =>
  Object.entries(kept.counts)
    .filter(([, count]) => count > 0)
    .map(([why, count]) => `${count} ${why}`)
    .join(", ");
