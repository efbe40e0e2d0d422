/**
 * `unlearn prepare-pd`: the rows of --pd. A model answers the prompts to forget where their context is harmless, before
 * anything is unlearned; it is then kept answering so. Chen et al. 2025, https://arxiv.org/abs/2502.12520
 */
import { open } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { type GroupReference, groupsOf } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow, Row } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { ModelLoader } from "../../run/measuring/loaded-model.ts";
import { liveAdapters } from "../../run/open-model.ts";
import { questionOf } from "../../run/scoring/alternatives.ts";
import type { PREPARE_PD } from "../prepare-options.ts";

/** What stands for an answer until there is one. */
const ANY = " .";

/** Rows that ask, with some answer: that of a prompt alone is not there yet. */
async function* asking(all: AsyncIterable<LocatedRow>): AsyncGenerator<LocatedRow> {
  for await (const { row, place } of all) {
    if (row.form === "prompt") yield { row: { ...row, form: "completion", completion: ANY }, place };
    else if (questionOf(row)) yield { row, place };
    else
      throw new UserError(
        `${place}: a row of ${row.form} asks nothing`,
        "give rows of prompt, or of prompt and completion",
      );
  }
}

/** The row with the model's own answer, set off from the prompt as its own was. */
function answered(row: Row, answer: string): object {
  const { prompt, expected } = questionOf(row)!;
  const text = answer.trim();
  if (typeof prompt !== "string") return { messages: [...prompt, { role: "assistant", content: text }] };
  return { prompt, completion: `${/^\s*/.exec(expected)![0]}${text}` };
}

export async function preparePd(context: Context<typeof PREPARE_PD>): Promise<Outcome> {
  const { options, args, signal, progress, device } = context;
  const ref = args[0] ?? "-";
  const groups: GroupReference[] = groupsOf(options.data, "--data", options.columns).map((group) => ({
    ...group,
    part: { key: "asking", rows: asking },
  }));
  const result = textResult(context, [ref, ...groups.map(({ path }) => path)]);
  const rows: Row[] = [];
  for (const group of groups) for await (const { row } of readRows(group)) rows.push(row);
  if (context.dryRun)
    return result(options.json ? JSON.stringify({ rows: rows.length }) : `${rows.length} prompts`, {});
  const warn = (text: string) => context.warn(text);
  const checkpoint = await open(ref, { live: liveAdapters(options), warn });
  context.onExit(() => checkpoint.close());
  const metrics = [bindDefaults(await loadMethod("metric", "rouge-l"))]; // it asks for greedy answers
  const gpu = await openGpu({ device });
  progress.start({ total: 2 * rows.length, unit: "readings of rows" });
  const loader = new ModelLoader({ gpu, metrics, options, signal, progress, warn });
  const loaded = await loader.load(checkpoint);
  const scored = await loaded.score(groups);
  await loaded.free();
  progress.done();
  const lines = rows.map((row, i) => answered(row, scored[i]!.generated!.found));
  const empty = scored.filter(({ generated }) => generated!.found.trim() === "").length;
  if (empty > 0) warn(`${empty} of ${rows.length} answers are empty`);
  return result(lines.map((line) => JSON.stringify(line)).join("\n"), { rows: lines.length, empty });
}
