/** Routers in files. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { expectParts, readParts, type StoredParts } from "../parts-file.ts";
import { type RouterSizes, Routers, routerShapes } from "./routers.ts";

export const ROUTERS = "routers";

/** Routers as a file holds them. */
export interface StoredRouters {
  readonly sizes: RouterSizes;
  readonly stored: StoredParts;
}

/** Reads routers for a model of these sizes. Throws UserError where the file is none, or they are another model's. */
export async function readRouters(checkpoint: Checkpoint, model: ModelSizes): Promise<StoredRouters> {
  const stored = await readParts(checkpoint, ROUTERS, "ingot train routers");
  const [layers = 0, width = 0, hidden = 0] = stored.fixed("sizes");
  if (layers !== model.layers || width !== model.width)
    throw new UserError(
      `the routers of ${stored.ref} are for ${layers} layers of width ${width}, and the model has ${model.layers} of ${model.width}`,
      "name the model that they were trained on",
    );
  const sizes = { layers, width, hidden };
  expectParts(
    stored,
    ROUTERS,
    routerShapes(sizes).map(([name, shape]) => [name, sizeOf(shape)] as const),
  );
  return { sizes, stored };
}

export const loadRouters = (gpu: Gpu, { sizes, stored }: StoredRouters): Routers =>
  Routers.of(gpu, sizes, stored.values);
