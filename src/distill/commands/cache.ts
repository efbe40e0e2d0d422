/** `distill cache`: writes the most likely tokens of a teacher over data, for later runs without it. */

import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { loadSequences } from "../../data/dataset.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { Model } from "../../model/model.ts";
import { writeCache } from "../../run/teachers/write-teacher-cache.ts";
import { textTools } from "../../run/text-tools.ts";
import { humanBytes } from "../../text/format.ts";
import type { CACHE } from "../options.ts";

export async function cache(context: Context<typeof CACHE>): Promise<Outcome> {
  const { options, args, seed } = context;
  const refs = [...(options.teacher ?? []), ...args];
  if (refs.length !== 1)
    throw new UserError(`distill cache takes one teacher, got ${refs.length}`, "give --teacher MODEL");
  const checkpoint = await open(refs[0]!, { live: true, warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  const { ref } = checkpoint;
  const { architecture, sizes } = await describeConfig(configOf(checkpoint), ref, undefined, checkpoint);
  if (architecture.task !== "causal-lm")
    throw new UserError(`${checkpoint.ref} is a ${architecture.task}`, "a cache is for language models");
  const tools = await textTools(checkpoint.files, checkpoint.ref, sizes, options, (text) => context.warn(text));
  const { sequences, groups } = await loadSequences(groupsOf(options.data, "--data", options.columns), tools.encode);
  const tokens = groups.reduce((sum, group) => sum + group.tokens, 0);
  const k = Math.min(options.top_logprobs, sizes.outputs);
  context.info(`${sequences.length} rows, ${tokens} tokens, about ${humanBytes(tokens * (8 * k + 4))}`);
  if (context.dryRun) {
    context.json({ rows: sequences.length, tokens, bytes: tokens * (8 * k + 4) });
    return {};
  }
  await tryTarget(context.out);
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, checkpoint, { freeze: () => true, loadIn: options.load_in });
  const { teacher: _, ...chosen } = context.chosen;
  const step = {
    script: "distill cache",
    version: context.version,
    options: { ...chosen, top_logprobs: k },
    seed,
  };
  const lineage = lineageOf(step, [{ checkpoint, role: "teacher" }], (text) => context.warn(text));
  context.progress.start({ total: sequences.length, unit: "rows" });
  const { bytes, mass } = await writeCache(context.out, model, sequences, {
    ref: checkpoint.ref,
    k,
    rows: options.batch_size,
    pad: tools.tokenizer?.pad ?? 0,
    lineage,
    signal: context.signal,
    done: (n) => context.progress.advance(n),
  });
  context.progress.done();
  context.info(`the ${k} hold ${(100 * mass).toFixed(1)} % of the teacher's probability`);
  const summary = { rows: sequences.length, tokens, k, mass };
  context.json({
    ...(context.out === "-" ? {} : { file: context.out }),
    ...summary,
    bytes,
    groups: groups.map(({ name, sequences, tokens }) => ({ name, rows: sequences, tokens })),
  });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(bytes)})`, log: summary };
}
