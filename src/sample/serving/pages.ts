/** What a browser is shown: nothing yet beside the API. */
import type { ServedModel } from "./served-model.ts";

export const pages = (
  _models: ReadonlyMap<string, ServedModel>,
  _key: string | undefined,
): ReadonlyMap<string, () => Response> => new Map();
