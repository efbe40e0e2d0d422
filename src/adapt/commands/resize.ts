/** `adapt resize`: an adapter at another rank. */

import { carriedConfig, openAdapters } from "../../checkpoint/adapter/together.ts";
import { writeAdapter } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan } from "../../checkpoint/adapter/written.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { humanBytes, humanShare } from "../../text/format.ts";
import { roundingOf, type Told, totalError } from "../extract/extraction.ts";
import { reportOf } from "../extract/report.ts";
import type { RESIZE } from "../options.ts";
import { DTYPES } from "../options.ts";
import { planResize, type Resized, resized, type Wanted } from "../resized.ts";
import { bytesOf, checkPlace, oddWhole, valuesOf, writeOptions, written } from "../result.ts";

/** The rank that is asked for. Throws UserError unless exactly one option says. */
function wantedBy({ options }: Context<typeof RESIZE>): Wanted {
  const { rank, energy } = options;
  if ((rank === undefined) === (energy === undefined))
    throw new UserError(
      rank === undefined ? "no rank to resize to" : "--rank and --energy both choose ranks",
      "give --rank N, or --energy SHARE of the change's squares to keep",
    );
  return rank === undefined ? { energy: energy! } : { rank };
}

export async function resize(context: Context<typeof RESIZE>): Promise<Outcome> {
  const { args, out, options, seed, version, chosen } = context;
  const [ref, ...more] = args;
  if (ref === undefined || more.length > 0)
    throw new UserError(
      ref === undefined ? "no adapter to resize" : `one adapter at a time, found ${args.join(" ")}`,
      "for example adapt resize adapter/ --rank 8 -o smaller/",
    );
  checkPlace(context);
  const wanted = wantedBy(context);
  const [adapter] = await openAdapters([ref], context, { dora: true });
  const changes = [...adapter!.modules.values()];
  const planned: (Resized & { told: Told })[] = [];
  for (const module of changes) {
    context.signal.throwIfAborted();
    const one = await planResize(module, wanted);
    planned.push({ ...one, told: { module: module.module, rank: one.rank, norm: one.norm, error: one.error } });
  }
  const dtype = DTYPES[options.dtype]!;
  const modules = planned.map((one) => ({
    ...{ module: one.module.module, kind: one.module.kind, inputs: one.module.inputs, out: one.module.out },
    ...{ rank: one.rank, one },
  }));
  const lineage = lineageOf(
    { script: "adapt resize", version, options: { ...chosen }, seed },
    [{ checkpoint: adapter!.checkpoint, role: "model" }],
    (text) => context.warn(text),
  );
  const carried = carriedConfig(
    [adapter!],
    modules.map(({ module }) => module),
  );
  const { magnitudes, whole } = adapter!;
  const plan = adapterPlan({ modules, dtype, magnitudes, whole, ...carried }, lineage);
  const told = new Map(planned.map((one) => [one.told.module, one.told]));
  const figures = () => ({ error: totalError([...told.values()]), modules: [...told.values()] });
  if (context.dryRun) {
    const bytes = bytesOf(plan.tensors);
    const memory = Math.max(0, ...changes.map(({ rank, into, out }) => 40 * rank * (into + out)));
    if (options.json) context.json({ bytes, memory, ...figures() });
    else
      context.print(
        `${reportOf([...told.values()], context.verbose)}\n${humanBytes(bytes)} to ${out === "-" ? "stdout" : out}, ${humanBytes(memory)} of host memory`,
      );
    return {};
  }
  const size = await writeAdapter(out, plan, {
    ...{
      modules,
      whole: new Map([...magnitudes, ...whole]),
      dtype,
      options: writeOptions(context),
      odd: oddWhole(context),
    },
    factors: async ({ one }) => {
      context.signal.throwIfAborted();
      const made = await resized(one);
      const lost = (one.error * one.norm) ** 2 + roundingOf(made, one.rank, dtype);
      const { module, rank, norm } = one.told;
      told.set(module, { module, rank, norm, error: norm === 0 ? 0 : Math.sqrt(lost) / norm });
      return made;
    },
  });
  const { error } = figures();
  if (told.size > 0 && !options.json) context.print(reportOf([...told.values()], context.verbose));
  context.json({ out, bytes: size, values: valuesOf(plan.tensors), ...figures() });
  return written(out, size, `${modules.length} modules, ${humanShare(error)} of their change lost in Frobenius norm`);
}
