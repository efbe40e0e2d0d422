/** The capability of a method whose weights beside the student may be kept in a file: `--keep-messengers FILE`. */
import type { Options, Values } from "../method/options.ts";
import { writeParts } from "../run/write-parts.ts";
import type { DistillCapability } from "./capability.ts";

/** `what` names them: the option is `--keep-WHAT`, and the names in the file begin with it. */
export const keptExtra = <const Name extends string>(what: Name): DistillCapability<Options, Values<Options>> => {
  const option = `keep_${what}`;
  return {
    name: `kept-${what}`,
    options: {
      [option]: {
        type: "string",
        writes: "tensors",
        help: `where the ${what} go, which are dropped otherwise`,
        value: "FILE",
      },
    },
    begin(values) {
      const target: unknown = values[option];
      if (typeof target !== "string") return undefined;
      return {
        async end({ extra, gpu, lineage }) {
          const parameters = [...extra].map(([name, { shape, buffer, size }]) => ({ name, shape, buffer, size }));
          await writeParts(gpu, what, { parameters, fixed: {} }, { out: target, lineage });
        },
      };
    },
  };
};
