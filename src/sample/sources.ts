/** The models that write: one alone, or with `--with` several together. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { tokenClash } from "../data/same-tokens.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import { Model } from "../model/model.ts";
import { Decoder } from "../run/generating/decoder.ts";
import type { LogitSource } from "../run/generating/logit-source.ts";
import { type DescribedModel, openModel } from "../run/open-model.ts";
import { Ensemble } from "./ensemble.ts";
import type { SAMPLE } from "./options.ts";

type Opened = DescribedModel & { readonly checkpoint: Checkpoint };
type SourceOptions = Pick<Values<typeof SAMPLE>, "with" | "ensemble" | "ensemble_discount" | "dtype" | "offload">;

/**
 * Opens the models of `--with` and compares them with the first; reads no weights. Throws UserError where an id means
 * another token to one of them. Whoever asked closes the checkpoints, those too that were opened before an error:
 * `opened` hears of each.
 */
export async function openOthers(
  first: Opened,
  options: SourceOptions,
  { warn, opened }: { warn(message: string): void; opened(checkpoint: Checkpoint): void },
): Promise<Opened[]> {
  const others: Opened[] = [];
  for (const ref of options.with ?? []) {
    const other = await openModel(ref, {}, warn);
    opened(other.checkpoint);
    if (!other.tools) throw new UserError(`${ref} is a classifier; --with needs a language model`, "leave it out");
    const speaker = ({ ref: name, sizes, tools }: Opened) => ({
      ...{ ref: name, outputs: sizes.outputs, files: tools?.files },
    });
    const clash = tokenClash(speaker(first), speaker(other));
    if (clash)
      throw new UserError(clash.message, "models that write together need one vocabulary; merge can bring them to one");
    others.push(other);
  }
  return others;
}

/** Loads models and makes the source of their logits; what it holds is freed by `free`, the models with it. */
export async function loadSource(
  gpu: Gpu,
  models: readonly Opened[],
  options: SourceOptions,
  warn?: (message: string) => void,
): Promise<{ source: LogitSource; free(): void }> {
  const { dtype, offload, ensemble, ensemble_discount: discount } = options;
  const decoders: Decoder[] = [];
  for (const { checkpoint } of models) {
    const model = await Model.load(gpu, checkpoint, { dtype, freeze: () => true, offload, ...(warn && { warn }) });
    decoders.push(new Decoder(model, checkpoint.ref));
  }
  const source = decoders.length === 1 ? decoders[0]! : new Ensemble(decoders, ensemble, discount);
  return {
    source,
    free() {
      source.free();
      for (const { model } of decoders) model.free();
    },
  };
}
