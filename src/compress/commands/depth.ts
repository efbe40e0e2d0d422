/** `compress depth`: a model with some of its layers, as a plain checkpoint. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { Model } from "../../model/model.ts";
import { mainStack, nameModels } from "../../model/names.ts";
import { sliceOf } from "../../model/structure/slice.ts";
import { slicedCheckpoint } from "../../model/structure/sliced-checkpoint.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { layersFor } from "../../run/depth/uniform.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import type { DEPTH } from "../depth-options.ts";
import { RowMeasure } from "../row-measure.ts";
import { bytesOf, writeCheckpoint } from "./write-checkpoint.ts";

type DepthContext = Context<typeof DEPTH, "depth-rule">;
type Opened = DescribedModel & { readonly checkpoint: Checkpoint };

/** How many of the layers stay. Throws UserError unless one option says so, within what there is. */
function keepOf({ options }: DepthContext, layers: number, ref: string): number {
  const { speedup, drop } = options;
  if ((speedup === undefined) === (drop === undefined))
    throw new UserError("how many layers go is to be said once", "give --speedup 2, --drop 3, or --layers 0,1,3");
  const keep = drop === undefined ? layersFor(layers, speedup!) : layers - drop;
  if (keep < 1)
    throw new UserError(
      `${drop === undefined ? `--speedup ${speedup}` : `--drop ${drop}`} leaves nothing of the ${layers} layers of ${ref}`,
      "leave at least one",
    );
  return keep;
}

/** The layers of --layers. Throws UserError where they are none of the model's. */
function listed({ options }: DepthContext, layers: number, ref: string): readonly number[] | undefined {
  const list = options.layers;
  if (list === undefined) return undefined;
  if (options.speedup !== undefined || options.drop !== undefined || options.calibration)
    throw new UserError("--layers names the layers that stay", "leave out --speedup, --drop and --calibration");
  const odd = list.find((layer, i) => layer <= (list[i - 1] ?? -1) || layer >= layers);
  if (odd === undefined && list.length > 0) return list;
  throw new UserError(
    `--layers ${list.join(",")}: ${odd} does not rise within the ${layers} layers of ${ref}`,
    `name layers from 0 to ${layers - 1}, rising`,
  );
}

/** Asks the method which layers stay. */
async function chosen(context: DepthContext, opened: Opened, layers: number): Promise<readonly number[]> {
  const { options, signal, progress } = context;
  if (!context.method) throw new RangeError("a depth rule is the default");
  const { method, values } = bind(context.method, context.settings);
  const target = { layers, keep: keepOf(context, layers, opened.ref) };
  const { calibration } = options;
  if (method.needs === "nothing") {
    if (calibration) throw new UserError(`--method ${method.name} reads no rows`, "leave out --calibration");
    return method.choose(target, values);
  }
  if (!calibration?.length)
    throw new UserError(`--method ${method.name} chooses by what rows say`, "give --calibration rows.jsonl");
  if (isStream(opened.checkpoint))
    throw new UserError(
      `--method ${method.name} reads the model before it is written, and a pipe is read once`,
      "write it to a folder first",
    );
  const { batches } = await readBatches(
    groupsOf(calibration, "--calibration", options.columns),
    opened,
    options.batch_size,
  );
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  progress.start({ unit: "rows" });
  const measure = new RowMeasure(model, batches, { signal, done: (rows) => progress.advance(rows) });
  try {
    return await method.choose(target, values, measure);
  } finally {
    progress.done();
    await measure.free();
    model.free();
  }
}

export async function depth(context: DepthContext): Promise<Outcome> {
  const { options, out } = context;
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(context.args[0] ?? "-", options, warn);
  const { checkpoint, ref } = opened;
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref, ...(options.calibration ?? [])]);
  if ([...checkpoint.tensors.values()].some(({ patch }) => patch))
    throw new UserError(
      `${ref} has an adapter, which is not copied`,
      "merge it into its base first: ingot merge base+adapter --method passthrough -o merged/",
    );
  const named = nameModels(new Map([["model", checkpoint]]), "model", []).get("model")!;
  const count = mainStack(named)?.count;
  if (count === undefined)
    throw new UserError(`${ref} has no one stack of layers to leave some out of`, "name a transformer");
  const kept = listed(context, count, ref) ?? (await chosen(context, opened, count));
  const small = await slicedCheckpoint(named, sliceOf(named, { layers: kept, units: new Map() }));
  const bytes = { before: bytesOf(checkpoint), after: bytesOf(small) };
  const told = `layers ${kept.join(", ")} of ${count}`;
  context.json({ layers: count, kept, bytes });
  if (context.dryRun) {
    context.print(`${told}; ${humanBytes(bytes.before)} -> ${humanBytes(bytes.after)}`);
    return {};
  }
  const step = { script: "compress depth", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], warn);
  await writeCheckpoint(context, small, lineage, options.shards ? { shards: options.shards } : {});
  if (isStream(checkpoint)) await checkpoint.finish();
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes.after)})`,
    told,
    log: { layers: count, kept },
  };
}
