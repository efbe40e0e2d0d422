/** Options of `unlearn s3t`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";

export const S3T = {
  forget: { type: "string[]", required: true, help: "rows to delete, as they were learnt", value: "FILE" },
  ...READING,
} as const satisfies Options;
