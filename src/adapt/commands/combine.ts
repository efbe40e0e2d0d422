/** `adapt combine`: several adapters of one base to one, without the base. */

import {
  carriedConfig,
  openAdapters,
  sharedModules,
  sharedWhole,
  warnOfBases,
} from "../../checkpoint/adapter/together.ts";
import { writeAdapter } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan } from "../../checkpoint/adapter/written.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { humanBytes } from "../../text/format.ts";
import { bytesFor, type Combination, combineModule, planCombination, usesGpu } from "../combination.ts";
import type { COMBINE } from "../options.ts";
import { DTYPES } from "../options.ts";
import { bytesOf, checkPlace, gpuOnDemand, oddWhole, valuesOf, writeOptions, written } from "../result.ts";

/** One weight per adapter. Throws UserError for another number of them. */
function weightsFor(given: readonly number[] | undefined, count: number): readonly number[] {
  const weights = given ?? Array<number>(count).fill(1);
  if (weights.length !== count)
    throw new UserError(
      `--weight has ${weights.length} values for ${count} adapters`,
      "give one for each, in their order, separated by commas",
    );
  const odd = weights.find((weight) => !Number.isFinite(weight));
  if (odd !== undefined) throw new UserError(`--weight ${odd} is not a finite number`, "for example 0.7,0.3");
  return weights;
}

export async function combine(context: Context<typeof COMBINE, "adapt">): Promise<Outcome> {
  const { args, options, method, settings, seed, out, version } = context;
  if (method === undefined) throw new UserError("no --method", "for example --method svd; --list shows all kinds");
  if (args.length === 0) throw new UserError("no adapters to combine", "name their folders");
  checkPlace(context);
  const weights = weightsFor(options.weight, args.length);
  const adapters = await openAdapters(args, context);
  const job: Combination = {
    ...{ method, values: settings, adapters, weights, seed },
    compat: options.compat === "peft",
  };
  const shared = sharedModules(adapters);
  const modules = planCombination(shared, job);
  const whole = await sharedWhole(adapters);
  warnOfBases(adapters, (text) => context.warn(text));
  const partial = modules.filter(({ from }) => from.of.length < adapters.length).length;
  if (partial > 0)
    context.info(`${partial} of ${modules.length} modules are not in every adapter: made of those that have them`);
  if (whole.size > 0)
    context.warn(`${whole.size} tensors that an adapter holds whole are carried over without a weight`);

  const dtype = DTYPES[options.dtype]!;
  const lineage = lineageOf(
    { script: "adapt combine", version, method: method.name, options: { ...context.chosen, ...settings }, seed },
    adapters.map(({ checkpoint }) => ({ checkpoint, role: "model" })),
    (text) => context.warn(text),
  );
  const plan = adapterPlan(
    { modules, dtype, whole, ...carriedConfig(adapters, [...shared.map(({ module }) => module)]) },
    lineage,
  );
  const figures = { method: method.name, adapters: args.length, modules: modules.length, whole: whole.size };
  const bytes = bytesOf(plan.tensors);
  if (context.dryRun) {
    const memory = Math.max(0, ...modules.map((module) => bytesFor(module, method)));
    const gpu = Math.max(0, ...modules.filter((one) => usesGpu(one, method)).map(({ out, into }) => 4 * out * into));
    if (options.json) context.json({ ...figures, bytes, memory, gpu });
    else
      context.print(
        `${method.name} of ${args.length} adapters: ${modules.length} modules, ${humanBytes(bytes)} to ${out === "-" ? "stdout" : out}; at most ${humanBytes(memory)} of host memory${gpu > 0 ? ` and ${humanBytes(gpu)} on the GPU` : ""}`,
      );
    return {};
  }
  const openGpu = gpuOnDemand(context);
  context.progress.start({ total: modules.length, unit: "modules" });
  const size = await writeAdapter(out, plan, {
    ...{ modules, whole, dtype, options: writeOptions(context), odd: oddWhole(context) },
    factors: async (module) => {
      context.signal.throwIfAborted();
      const { a, b } = await combineModule(module, job, openGpu);
      context.progress.advance(1, module.module);
      return { a: Float32Array.from(a.values), b: Float32Array.from(b.values) };
    },
  });
  context.progress.done();
  context.json({ out, ...figures, bytes: size, values: valuesOf(plan.tensors) });
  return written(out, size);
}
