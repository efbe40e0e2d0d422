/**
 * `curriculum preset`: the stages of a recipe, with the settings of its source, as a script of the shell or as a file
 * of stages.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { bind } from "../../method/bind.ts";
import { quote } from "../../text/quote.ts";
import type { PRESET } from "../presets/contract.ts";
import { scriptOf } from "../presets/script.ts";
import { stagesOf } from "../presets/stage-text.ts";

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
  const isScript = options.written_as === "script";
  const head = [
    `${method.title}: ${method.about} (${method.cite}).`,
    `Written by curriculum preset ${method.name} of ingot ${version}: change what you like, and run it by`,
    "",
    `  ${isScript ? "sh" : "ingot curriculum --stages"} ${out === "-" ? "FILE" : quote(out)}`,
    "",
    isScript
      ? "A stage whose result is there is not run again, and training that was stopped goes on."
      : "A stage is run again where its command or what it reads has changed, and training that was stopped goes on.",
  ];
  const about = { preset: method.name, stages: stages.map(({ title, words, makes }) => ({ title, words, makes })) };
  const isJson = options.json && (out === "-" || dryRun);
  const text = isScript ? scriptOf(head, to, stages) : await stagesOf(head, to, stages);
  return result(isJson ? JSON.stringify(about) : text, about);
}
