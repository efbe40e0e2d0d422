/** Layers that the first model leaves out or runs again while it writes: `--skip-layers` and `--routers`. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import { keptLayers } from "../model/depth.ts";
import type { Model } from "../model/model.ts";
import { PromptRouter } from "../run/depth/route-prompts.ts";
import { loadRouters, readRouters, type StoredRouters } from "../run/depth/router-file.ts";
import { layersFor, uniformLayers } from "../run/depth/uniform.ts";
import { Decoder } from "../run/generating/decoder.ts";
import { RoutedDecoder } from "../run/generating/routed-decoder.ts";
import type { DescribedModel } from "../run/open-model.ts";
import type { SAMPLE } from "./options.ts";

type Opened = DescribedModel & { readonly checkpoint: Checkpoint };
type DepthOptions = Pick<Values<typeof SAMPLE>, "skip_layers" | "routers" | "router_dial" | "with" | "cascade">;

/** What was read of the options, before a weight is. */
export interface SampleDepth {
  /** Layers that write; all where it is left out. */
  readonly kept?: readonly number[];
  readonly routers?: StoredRouters;
  readonly dial: number;
}

/** The layers of --skip-layers. Throws UserError where they are none of the model's. */
export function writingLayers(text: string, layers: number, ref: string): readonly number[] {
  const [, by] = /^uniform:(.+)$/.exec(text) ?? [];
  if (by !== undefined) {
    const speedup = Number(by);
    if (!(speedup >= 1)) throw new UserError(`--skip-layers ${text} names no speed-up`, "for example uniform:2");
    return uniformLayers(layers, layersFor(layers, speedup));
  }
  const list = text.split(",").map(Number);
  const isGood = list.every((layer, i) => Number.isInteger(layer) && layer > (list[i - 1] ?? -1) && layer < layers);
  if (isGood) return list;
  throw new UserError(
    `--skip-layers ${text} does not say which of the ${layers} layers of ${ref} write`,
    `give uniform:2, or rising layers from 0 to ${layers - 1}: 0,${layers - 1}`,
  );
}

/** Reads the options. Throws UserError for models that cannot do it. */
export async function openDepth(
  { ref, sizes, checkpoint }: Opened,
  options: DepthOptions,
  warn: (message: string) => void,
): Promise<SampleDepth> {
  const { skip_layers: skip, routers, router_dial: dial } = options;
  const flag = skip === undefined ? "--routers" : "--skip-layers";
  if (skip === undefined && routers === undefined) return { dial };
  if (skip !== undefined && routers !== undefined)
    throw new UserError("--skip-layers and --routers both say which layers run", "leave one out");
  if (sizes.recurrent)
    throw new UserError(
      `${ref} keeps one state of all tokens in a layer, which a layer that is left out would lack`,
      `leave out ${flag}`,
    );
  if (skip !== undefined) return { kept: writingLayers(skip, sizes.layers, ref), dial };
  if (options.with?.length || options.cascade !== undefined)
    throw new UserError("--routers are for one model that writes alone", "leave out --with and --cascade");
  if (checkpoint.live)
    throw new UserError(`--routers read the states of a plain model, and ${ref} has an adapter`, "merge it first");
  const file = await open(routers!, { warn });
  try {
    return { routers: await readRouters(file, sizes), dial };
  } finally {
    await file.close();
  }
}

/** The decoder of the first model, where nothing else takes part. */
export function depthSource(model: Model, ref: string, { kept, routers, dial }: SampleDepth): Decoder | RoutedDecoder {
  if (!routers) return new Decoder(model, ref, kept ? { next: keptLayers(kept, model.sizes.layers) } : {});
  const live = loadRouters(model.gpu, routers);
  const router = new PromptRouter(model, live, dial);
  return new RoutedDecoder(model, ref, {
    route: (prompts) => router.route(prompts),
    free() {
      router.free();
      live.free();
    },
  });
}
