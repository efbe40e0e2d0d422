/**
 * Loads a checkpoint that stores a head although its config ties the head to the embedding. Equal ones are held once;
 * a head that differs is used as it is, as transformers 5 does: the weights decide, not the config.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Offload } from "../tensor/offload.ts";
import type { PageStore } from "../tensor/paging/pages.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";
import type { LoadIn } from "./held-codes.ts";
import { type Holding, type Loaded, loadParameters } from "./load.ts";

interface Loading {
  readonly gpu: Gpu;
  readonly checkpoint: Checkpoint;
  readonly architecture: Architecture;
  readonly holding: Holding;
  readonly offload?: Offload | undefined;
  readonly loadIn?: LoadIn | undefined;
  readonly store?: PageStore | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

interface LoadedModel extends Loaded {
  /** As the weights are: with a head of its own where that differs. */
  readonly config: unknown;
  readonly specs: readonly ParameterSpec[];
}

const PIECE = 2 ** 22; // values

async function valuesOf(gpu: Gpu, { buffer, dtype }: Parameter, start: number, count: number): Promise<Float32Array> {
  const width = dtype === "bf16" ? 2 : 4;
  return gpu.read(buffer, start * width, Math.ceil((count * width) / 4) * 4, (view) =>
    decodeFloats(view.slice(0, count * width), dtype === "bf16" ? "BF16" : "F32"),
  );
}

/** Whether two parameters of one shape hold the same values. Reads them back, a piece at a time. */
async function same(gpu: Gpu, a: Parameter, b: Parameter): Promise<boolean> {
  for (let start = 0; start < a.size; start += PIECE) {
    const count = Math.min(PIECE, a.size - start);
    const [left, right] = [await valuesOf(gpu, a, start, count), await valuesOf(gpu, b, start, count)];
    for (let i = 0; i < count; i++) if (!Object.is(left[i]! + 0, right[i]! + 0)) return false;
  }
  return true;
}

/** Loads every parameter. Throws UserError as `loadParameters` does. Dry runs take the head as the config says. */
export async function loadWithHead(loading: Loading, config: unknown): Promise<LoadedModel> {
  const { gpu, checkpoint, architecture, holding, offload, store, loadIn, warn } = loading;
  const load = async (chosen: unknown): Promise<LoadedModel> => {
    const specs = architecture.parameters(chosen);
    const loaded = await loadParameters(gpu, checkpoint, architecture, specs, holding, {
      ...{ offload, store, loadIn },
      ...(warn && { warn }),
    });
    return { config: chosen, specs, ...loaded };
  };
  const tied = architecture.tiedHead?.(config);
  if (!tied || gpu.dry || !checkpoint.tensors.has(tied.head)) return load(config);
  const loaded = await load(tied.apart);
  const head = loaded.parameters.get(tied.head)!;
  if (!(await same(gpu, head, loaded.parameters.get(tied.table)!))) {
    warn?.(
      `${checkpoint.ref}: ${tied.head} differs from ${tied.table}, though config.json ties them; both are used, as transformers 5 does (tie_word_embeddings false says so)`,
    );
    return loaded;
  }
  head.free();
  return {
    config,
    specs: architecture.parameters(config),
    parameters: new Map([...loaded.parameters].filter(([name]) => name !== tied.head)),
    stored: loaded.stored.filter(({ parameter }) => parameter !== head),
    others: loaded.others,
  };
}
