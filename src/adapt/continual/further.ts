/** Models that a stream gives beside its result. */
import fs from "node:fs";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { saveModel, savingTo } from "../../model/save.ts";
import type { RunOutput } from "../../run/training/build-run.ts";
import type { StreamRun } from "./stages.ts";

/** Where what stands beside the result goes; undefined where that is neither a file nor a folder. */
export const besideResult = (out: string, what: string): string | undefined =>
  out === "-" || out.startsWith("hf:") ? undefined : `${out.replace(/[/\\]+$/, "")}-${what}`;

/** Throws UserError where models of an earlier run lie there, of a stream that has not begun to learn. */
export function refuseFurther({ context, learner, opened }: StreamRun): void {
  const further = learner.results?.();
  const folder = further && besideResult(context.out, further.what);
  if (folder === undefined || opened.saved || context.options.overwrite) return;
  if (fs.existsSync(folder))
    throw new UserError(
      `${folder} is there already, and the ${further!.what} go there`,
      "write to another place, or give --overwrite",
    );
}

/** Writes the models that a method gives beside the result, each as a checkpoint, or an adapter, of its own. */
export async function saveFurther({ context, model, learner }: StreamRun, { saving }: RunOutput): Promise<void> {
  const further = learner.results?.();
  if (!further || further.each.length === 0) return;
  const folder = besideResult(context.out, further.what);
  if (folder === undefined) {
    context.warn(`the ${further.what} are not written: they go beside a result that is a file or a folder`);
    return;
  }
  for (const { name, wear } of further.each) {
    await wear();
    const target = join(folder, name);
    fs.mkdirSync(folder, { recursive: true });
    await saveModel(model, target, savingTo(target, saving));
  }
  context.info(`the ${further.each.length} ${further.what} are in ${folder}`);
}
