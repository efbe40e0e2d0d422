/** The texts of kernels. In a browser they stand in the page; see src/web/build.ts. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../wgsl/", import.meta.url));

/** The text of one file, by its path without the ending: `merge/combine` is `wgsl/merge/combine.wgsl`. */
export const kernelText = (file: string): string => readFileSync(`${ROOT}${file}.wgsl`, "utf8");
