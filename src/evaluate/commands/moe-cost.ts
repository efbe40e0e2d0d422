/** `evaluate moe-cost`: times a layer of experts on this device, and says in how many chunks tokens pass fastest. */
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { table } from "../../text/table.ts";
import { bestChunks, fitCost, pipelined, worstMiss } from "../moe-cost/cost.ts";
import type { MOE_COST } from "../moe-cost/options.ts";
import { STAGES, timeStages } from "../moe-cost/probe.ts";

type Context = CommandContext<typeof MOE_COST>;

/** Throws UserError for options that do not go together. */
function check({ experts, top_k: top, sizes, chunks, tokens }: Context["options"]): void {
  if (top > experts)
    throw new UserError(`--top-k ${top} is more than ${experts} experts`, `give --top-k ${experts} or more --experts`);
  if (sizes.length < 2 || sizes.some((n, i) => n <= (sizes[i - 1] ?? 0)))
    throw new UserError(`--sizes ${sizes.join(",")}: a line takes two or more, rising from above 0`, "give 32,64,128");
  if (chunks.length === 0 || chunks.some((r) => r < 1 || r > tokens))
    throw new UserError(`--chunks ${chunks.join(",")}: each is from 1 to the ${tokens} tokens`, "give 1,2,4,8");
}

/** A line that is further off than this share of a time is no good model of it. */
const FAR = 0.2;

const micro = (seconds: number): string => (1e6 * seconds).toPrecision(3);

/** Runs the sub-command. Throws UserError. */
export async function moeCost(context: Context): Promise<Outcome> {
  const { options, signal, progress } = context;
  check(options);
  const { width, hidden, experts, top_k: top, sizes, repeats, chunks, tokens } = options;
  if (context.dryRun) {
    context.print(`${STAGES.length} stages of ${experts} experts at ${sizes.length} sizes, ${repeats} times each`);
    context.json({ stages: [...STAGES], sizes, repeats });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  progress.start({ total: sizes.length, unit: "sizes" });
  const found: number[][] = [];
  for (const n of sizes) {
    signal.throwIfAborted();
    found.push(await timeStages(gpu, { width, hidden, experts, top }, n, repeats));
    progress.advance(1);
  }
  progress.done();
  const stages = STAGES.map((stage, s) => {
    const times = sizes.map((n, i) => ({ n, seconds: found[i]![s]! }));
    const cost = fitCost(times);
    return { stage, ...cost, miss: worstMiss(cost, times), times };
  });
  const plans = chunks.map((count) => ({ chunks: count, seconds: pipelined(stages, tokens, count) }));
  const best = bestChunks(stages, tokens, chunks);
  context.print(
    table([
      ["stage", "start (us)", "each token (us)", "worst miss"],
      ...stages.map(({ stage, start, each, miss }) => [
        stage,
        micro(start),
        micro(each),
        `${(100 * miss).toFixed(0)} %`,
      ]),
    ]),
  );
  context.print(
    table([
      ["chunks", `${tokens} tokens (us)`],
      ...plans.map(({ chunks: count, seconds }) => [`${count}${count === best ? " best" : ""}`, micro(seconds)]),
    ]),
  );
  for (const { stage, miss } of stages)
    if (miss > FAR)
      context.info(
        `times of ${stage} are no line (off by ${(100 * miss).toFixed(0)} %): raise --repeats on a machine at rest, or give larger --sizes`,
      );
  context.json({ width, hidden, experts, top_k: top, stages, tokens, plans, best });
  return {};
}
