/** Writes routers into a file. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { writeParts } from "../write-parts.ts";
import { ROUTERS } from "./router-file.ts";
import type { Routers } from "./routers.ts";

export const writeRouters = (
  gpu: Gpu,
  routers: Routers,
  to: { readonly out: string; readonly lineage: readonly LineageEntry[] },
): Promise<number> => {
  const { layers, width, hidden } = routers.sizes;
  return writeParts(gpu, ROUTERS, { parameters: routers.parameters(), fixed: { sizes: [layers, width, hidden] } }, to);
};
