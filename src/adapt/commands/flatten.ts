/** `adapt flatten`: the plain LoRA that comes nearest to an adapter whose change depends on the input. */

import { formatOf } from "../../checkpoint/adapter/format.ts";
import { readTyped, typedConfig } from "../../checkpoint/adapter/typed.ts";
import { writeAdapter } from "../../checkpoint/adapter/write-adapter.ts";
import { adapterPlan } from "../../checkpoint/adapter/written.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { openPlain, splitAdapter } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import type { FLATTEN } from "../options.ts";
import { DTYPES } from "../options.ts";
import { bytesOf, checkPlace, oddWhole, valuesOf, writeOptions, written } from "../result.ts";

/** The one adapter that is named, without a base. Throws UserError. */
function reference({ args }: Context<typeof FLATTEN>): string {
  const [ref, ...more] = args;
  if (ref === undefined || more.length > 0)
    throw new UserError(
      ref === undefined ? "no adapter to flatten" : `one adapter at a time, found ${args.join(" ")}`,
      "for example adapt flatten ranks/ -o plain/",
    );
  const parts = splitAdapter(ref);
  if (!parts) return ref;
  throw new UserError(
    `${ref} is a model with an adapter, and an adapter is taken here without its base`,
    `name the adapter alone: ${quote(parts.adapter)}`,
  );
}

export async function flatten(context: Context<typeof FLATTEN>): Promise<Outcome> {
  const { out, options, seed, version, chosen } = context;
  const ref = reference(context);
  checkPlace(context);
  const adapter = await openPlain(ref, { warn: (text) => context.warn(text) });
  context.onExit(() => adapter.close());
  const format = await formatOf(adapter);
  if (!format) throw new UserError(`${ref} is a LoRA already`, "use it as it is");
  if (!format.flat)
    throw new UserError(
      `${ref} is of the type ${format.title}, which has no low-rank form that is the same for every input`,
      format.fold
        ? `take one out of the model: adapt extract BASE+${quote(ref)} --base BASE`
        : "use it beside its base",
    );
  const parts = await readTyped(adapter, format);
  const config = typedConfig(parts.json, ref);
  const flat = await format.flat(parts.json, ref, parts.modules);
  const dtype = DTYPES[options.dtype]!;
  const modules = [...flat].map(([module, { a, b }]) => ({
    ...{ module, kind: "linear" as const, inputs: [a.shape[1]!], out: b.shape[0]!, rank: a.shape[0]! },
  }));
  const lineage = lineageOf(
    { script: "adapt flatten", version, options: { ...chosen }, seed },
    [{ checkpoint: adapter, role: "model" }],
    (text) => context.warn(text),
  );
  const { base_model_name_or_path: base, task_type: task } = parts.json;
  const plan = adapterPlan(
    {
      ...{ modules, dtype, whole: parts.replaced, bias: "none", fanInFanOut: config.fanInFanOut },
      ...{ base: typeof base === "string" ? base : null, taskType: typeof task === "string" ? task : null },
      ...{ targets: config.targets ?? modules.map(({ module }) => module), modulesToSave: config.modulesToSave },
    },
    lineage,
  );
  const ranks = modules.reduce((sum, { rank }) => sum + rank, 0);
  const bytes = bytesOf(plan.tensors);
  if (context.dryRun) {
    if (options.json) context.json({ bytes, modules: modules.length, ranks });
    else
      context.print(
        `${modules.length} modules of ${ranks} ranks, ${humanBytes(bytes)} to ${out === "-" ? "stdout" : out}`,
      );
    return {};
  }
  context.warn(`the ranks of ${ref} count by the input; in the result all of them count alike, for every input`);
  const size = await writeAdapter(out, plan, {
    ...{ modules, whole: parts.replaced, dtype, options: writeOptions(context), odd: oddWhole(context) },
    factors: async ({ module }) => {
      const { a, b, scale } = flat.get(module)!;
      return { a: a.values, b: b.values.map((x) => scale * x) };
    },
  });
  context.json({ out, bytes: size, values: valuesOf(plan.tensors), modules: modules.length, ranks });
  return written(out, size, `${modules.length} modules of ${ranks} ranks`);
}
