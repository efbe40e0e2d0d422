/** `compress extract`: a smaller model that was trained inside of a larger one (train --supernet), as a checkpoint. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { mainStack, type NamedModel, nameModels } from "../../model/names.ts";
import { anatomyOf } from "../../model/structure/anatomy.ts";
import { firstUnits } from "../../model/structure/first-units.ts";
import { type Slice, sliceOf } from "../../model/structure/slice.ts";
import { slicedCheckpoint } from "../../model/structure/sliced-checkpoint.ts";
import { humanBytes } from "../../text/format.ts";
import type { EXTRACT } from "../extract-options.ts";
import { preferred } from "./prefer.ts";
import { bytesOf, writeCheckpoint, writtenAs } from "./write-checkpoint.ts";

type ExtractContext = Context<typeof EXTRACT>;

/** What `--width` and `--depth` leave. Throws UserError. */
function firstOf(model: NamedModel, { width, depth }: ExtractContext["options"]): Slice {
  if (width === undefined && depth === undefined)
    throw new UserError("nothing says what stays", "give --width, --depth, or both");
  const blocks = mainStack(model)?.count;
  if (depth !== undefined && blocks !== undefined && depth > blocks)
    throw new UserError(`--depth ${depth}: ${model.ref} has ${blocks} blocks`, `give a number from 1 to ${blocks}`);
  const anatomy = anatomyOf(model);
  return sliceOf(model, firstUnits(anatomy, width ?? 1, depth), anatomy);
}

/** Throws UserError for models whose structure is not known, and for those that cannot hold what is left. */
export async function extract(context: ExtractContext): Promise<Outcome> {
  const { options, out } = context;
  const ref = context.args[0] ?? "-";
  const checkpoint = await open(ref, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref]);
  if (isStream(checkpoint))
    throw new UserError("extract reads tensors out of their order, and stdin is a stream", "save it to a file first");
  const [model] = nameModels(new Map([[ref, checkpoint]]), ref, []).values();
  if (!model) throw new RangeError(`${ref} was not opened`);
  const chosen = options.prefer ? await preferred(context, model, checkpoint) : undefined;
  const made = await slicedCheckpoint(model, chosen?.slice ?? firstOf(model, options));
  const [before, after] = [bytesOf(checkpoint), bytesOf(made)];
  const found = chosen && {
    widths: { trunk: chosen.widths.trunk, decoders: chosen.widths.decoders },
    ...{ operations: chosen.operations, accuracies: chosen.accuracies, tried: chosen.tried },
  };
  context.json({ bytes: { before, after }, tensors: made.tensors.size, ...found });
  if (context.dryRun) {
    if (!options.json) context.print(`${humanBytes(before)} -> ${humanBytes(after)}`);
    return {};
  }
  const step = { script: "compress extract", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  await writeCheckpoint(context, made, lineage, writtenAs(options));
  const told = chosen
    ? `trunk ${chosen.widths.trunk}, decoders ${chosen.widths.decoders.join(" ")}, ${chosen.operations} operations a row`
    : `${humanBytes(before)} before`;
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(after)})`, told };
}
