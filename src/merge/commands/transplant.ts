/** `merge transplant`: a model under the tokenizer of another. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { table } from "../../text/table.ts";
import { SharedSearch } from "../transplant/shared-search.ts";
import {
  type PlannedTable,
  planTransplant,
  type TransplantOptions,
  type TransplantPlan,
  transplantTables,
} from "../transplant/transplant.ts";
import { transplantFiles } from "../transplant/transplant-files.ts";
import { mixedTable } from "../vocabulary/mixed-table.ts";
import type { TRANSPLANT } from "./surgery-options.ts";
import { finishStreams, openModel, refuseAdapter, withTables, writeResult } from "./write-tables.ts";

type TransplantContext = Context<typeof TRANSPLANT>;

/** What a table's rows are made of, in numbers. */
function countsOf({ name, matches, shared }: PlannedTable) {
  const { exact, byte, prefix, wanted } = matches;
  return { table: name, shared: shared.donor.length, exact, byte, prefix, approximated: wanted.length };
}

const columnsOf = (plan: TransplantPlan) => {
  const rows = plan.tables.map(countsOf);
  const keys = ["table", "exact", "byte", "prefix", "approximated"] as const;
  return table([[...keys], ...rows.map((row) => keys.map((key) => String(row[key])))]);
};

/** Bytes of the donor's rows on the GPU, of the table that has most. */
const heldBytes = (plan: TransplantPlan, options: TransplantOptions): number =>
  options.approximate.method.needs.includes("donor")
    ? Math.max(...plan.tables.map(({ donor, shared }) => (donor ? SharedSearch.bytes(donor, shared.donor.length) : 0)))
    : 0;

function optionsOf({ options, picks, seed }: TransplantContext): TransplantOptions {
  return {
    approximate: picks.approximate[0]!,
    prefixMatch: options.prefix_match,
    byteMatch: options.byte_match,
    noise: options.new_vocab_noise,
    scale: options.new_vocab_scale,
    padTo: options.pad_to_multiple_of ?? 1,
    seed,
  };
}

export async function transplant(context: TransplantContext): Promise<Outcome> {
  const { args, out } = context;
  if (context.options.json && !context.dryRun && out === "-")
    throw new UserError("--json and the checkpoint both want stdout", "give -o DIR, or leave out --json");
  const options = optionsOf(context);
  const [model, donor] = [await openModel(context, args[0]!), await openModel(context, args[1]!)];
  refuseAdapter(model);
  const plan = planTransplant(model, donor, options);
  const warnings = [...plan.warnings];
  const files = transplantFiles(plan, warnings);
  for (const warning of warnings) context.warn(warning);
  const counts = { rows: plan.rows, tables: plan.tables.map(countsOf) };
  if (context.dryRun) {
    const held = heldBytes(plan, options);
    context.print(`${columnsOf(plan)}\n${plan.rows} rows; GPU memory for the donor's rows: ${humanBytes(held)}`);
    context.json({ ...counts, gpu_memory: held, out });
    return {};
  }
  for (const line of columnsOf(plan).split("\n")) context.info(line);
  const step = { script: "merge transplant", version: context.version, options: context.chosen, seed: context.seed };
  const read = [
    { checkpoint: model.checkpoint, role: "model" },
    { checkpoint: donor.checkpoint, role: "model" },
  ] as const;
  const lineage = lineageOf(step, read, (text) => context.warn(text));
  const shapes = new Map(
    plan.tables.map(({ name, own }) => [name, mixedTable(own.entry, { count: plan.rows, source: () => 0 })]),
  );
  const tensors = withTables(model, shapes);
  const bytes = await writeResult(context, { tensors, files, lineage }, async () => {
    const total = plan.tables.reduce((sum, { matches }) => sum + matches.wanted.length, 0);
    context.progress.start({ total, unit: "rows" });
    const tables = await transplantTables(plan, options, {
      gpu: () => openGpu({ device: context.device, profile: context.verbose }),
      advance: (rows) => context.progress.advance(rows),
      signal: context.signal,
      warn: (text) => context.warn(text),
    });
    context.progress.done();
    return withTables(model, tables);
  });
  await finishStreams(model.checkpoint);
  context.json({ out, bytes, tensors: tensors.length, ...counts });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    ...(out === "-" ? {} : { next: `bun run inspect ${quote(out)}` }),
  };
}
