/** `train route-search`: short ways through the layers that answer rows right, as labels for routers. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { groupsOf } from "../../data/groups.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { askedRows } from "../../run/depth/asked-rows.ts";
import { openModel } from "../../run/open-model.ts";
import type { SEARCH } from "../routers/options.ts";
import type { Found } from "../routers/path-tree.ts";
import { searchWays } from "../routers/search.ts";
import { wayLine } from "../routers/way-rows.ts";

/** Rows that are written, in their order: all that were mended, and of the others so many that these are a share. */
export function keptRows(found: readonly Found[], mended: number, seed: number): number[] {
  const right = [...found.keys()].filter((row) => found[row]!.times);
  const fixed = right.filter((row) => !found[row]!.isRight);
  const others = right.filter((row) => found[row]!.isRight);
  const most = mended === 0 || fixed.length === 0 ? others.length : Math.round((fixed.length * (1 - mended)) / mended);
  const order = permutation(others.length, seed, 0, "rows that were right");
  const drawn = Array.from(order.subarray(0, most), (i) => others[i]!);
  return [...fixed, ...drawn].sort((a, b) => a - b);
}

export async function routeSearch(context: Context<typeof SEARCH>): Promise<Outcome> {
  const { options, signal, progress, seed } = context;
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  const { tools } = opened;
  if (!tools) throw new UserError(`${ref} is a classifier; ways are searched for answers`, "give a language model");
  const write = textResult(context, [ref, ...options.data]);
  const rows = await askedRows(groupsOf(options.data, "--data", options.columns), tools);
  if (context.dryRun) {
    context.print(
      `at most ${options.rounds} ways through ${opened.sizes.layers} layers for each of ${rows.length} rows`,
    );
    context.json({ rows: rows.length, layers: opened.sizes.layers });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  progress.start({ total: rows.length, unit: "rows" });
  const found = await searchWays(
    model,
    rows.map(({ sequence }) => sequence),
    {
      ...{ explore: options.explore, shorter: options.shorter, chance: options.chance, rounds: options.rounds },
      ...{ enough: options.enough, batch: options.batch_size, seed, signal, pad: tools.tokenizer?.pad ?? 0 },
      done: (count) => progress.advance(count),
    },
  );
  progress.done();
  model.free();
  const kept = keptRows(found, options.mended, seed);
  if (kept.length === 0)
    throw new UserError(
      `of ${rows.length} rows none is answered right, whichever layers run`,
      "give rows that the model can answer, or raise --rounds",
      1,
    );
  const lengths = kept.map((row) => found[row]!.times!.reduce((sum, count) => sum + count, 0));
  const about = {
    rows: rows.length,
    right: found.filter(({ isRight }) => isRight).length,
    mended: found.filter(({ isRight, times }) => !isRight && times).length,
    written: kept.length,
    layers: lengths.reduce((a, b) => a + b, 0) / kept.length,
    tried: found.reduce((sum, { tried }) => sum + tried, 0),
  };
  context.info(
    `${about.right} of ${about.rows} rows are right as they are, ${about.mended} on another way; ${about.written} are written, of ${about.layers.toFixed(2)} of ${opened.sizes.layers} layers`,
  );
  const lines = kept.map((row) => wayLine(rows[row]!.located, found[row]!.times!));
  return { ...write(lines.join("\n"), about), log: about };
}
