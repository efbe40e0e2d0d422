/**
 * The text result of a sub-command: on stdout, or in the file of -o; stdout then has a line about the file with --json.
 */
import type { Outcome, PlainContext } from "./context.ts";
import { textOutput } from "./output.ts";
import { refuseInputs } from "./target.ts";

type Asked = Pick<PlainContext, "out" | "dryRun" | "onExit" | "line"> & {
  readonly options: { readonly json: boolean };
};

/**
 * Opens it, before any work. The function takes the text, and what that line says of it. Throws
 * UserError when that file is one of `inputs`.
 */
export function textResult(
  { out, dryRun, onExit, line, options }: Asked,
  inputs: readonly string[],
): (text: string, about: Record<string, unknown>) => Outcome {
  refuseInputs(out, inputs);
  const target = textOutput(dryRun ? "-" : out);
  onExit((ok) => (ok ? target.commit() : target.discard()));
  return (text, about) => {
    target.write(text.endsWith("\n") ? text : `${text}\n`);
    if (out === "-" || dryRun) return {};
    if (options.json) line({ file: out, ...about });
    return { output: out };
  };
}
