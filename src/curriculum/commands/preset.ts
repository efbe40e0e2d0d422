/** `curriculum preset`: the stages of a recipe, with the settings of its source, as a script of the shell. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { bind } from "../../method/bind.ts";
import { quote } from "../../text/quote.ts";
import type { PRESET } from "../presets/contract.ts";
import { scriptOf } from "../presets/script.ts";

export async function preset(context: Context<typeof PRESET, "preset">): Promise<Outcome> {
  const { options, args, out, dryRun, version } = context;
  const { method, values } = bind(context.method!, context.settings);
  const [model, more] = args;
  if (model === undefined || model === "-")
    throw new UserError(
      `${method.name} begins with a model, and none is named`,
      `curriculum preset ${method.name} model/`,
    );
  if (more !== undefined) throw new UserError(`unexpected argument ${more}`, "one model at a time");
  if (!/^[a-z][\w-]*$/.test(options.reward))
    throw new UserError(
      `--reward ${options.reward} is not the name of one verifier`,
      "name one, such as exact or number; its settings and others beside it can be added to the script",
    );
  const result = textResult(context, []);
  const to = (options.to ?? method.name).replace(/(?<=.)\/+$/, "");
  const stages = method.stages({ model, to, shared: options, values });
  const head = [
    `${method.title}: ${method.about} (${method.cite}).`,
    `Written by curriculum preset ${method.name} of ingot ${version}: change what you like, and run it by`,
    "",
    `  sh ${out === "-" ? "FILE" : quote(out)}`,
    "",
    "A stage whose result is there is not run again, and training that was stopped goes on.",
  ];
  const about = { preset: method.name, stages: stages.map(({ title, words, makes }) => ({ title, words, makes })) };
  const isJson = options.json && (out === "-" || dryRun);
  return result(isJson ? JSON.stringify(about) : scriptOf(head, to, stages), about);
}
