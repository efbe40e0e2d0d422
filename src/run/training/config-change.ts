/** How the config of the model that is trained is made. */
import type { Json } from "../../model/architecture.ts";

/** Makes it of the config of the model that is named, whose files it may read. */
export type ConfigChange = (
  json: Json,
  given: { readonly ref: string; readonly files: ReadonlyMap<string, Uint8Array> },
) => Json | Promise<Json>;
