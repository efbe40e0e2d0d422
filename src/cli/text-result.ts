/** The text result of a sub-command: on stdout, or in the file of -o, of which stdout then tells with --json. */
import type { Outcome, PlainContext } from "./context.ts";
import { textOutput } from "./output.ts";
import { refuseInputs } from "./target.ts";

type Asked = Pick<PlainContext, "out" | "dryRun" | "onExit" | "line"> & {
  readonly options: { readonly json: boolean };
};

/**
 * Opens it, before any work. The function takes the text, and what is told of it when it went into a file. Throws UserError when that
 * file is one of `inputs`.
 */
export function textResult(
  { out, dryRun, onExit, line, options }: Asked,
  inputs: readonly string[],
): (text: string, told: Record<string, unknown>) => Outcome {
  refuseInputs(out, inputs);
  const target = textOutput(dryRun ? "-" : out);
  onExit((ok) => (ok ? target.commit() : target.discard()));
  return (text, told) => {
    target.write(text.endsWith("\n") ? text : `${text}\n`);
    if (out === "-" || dryRun) return {};
    if (options.json) line({ file: out, ...told });
    return { output: out };
  };
}
