/** Models that a stream gives beside its result. */
import fs from "node:fs";
import { join } from "node:path";
import { saveModel, savingTo } from "../../model/save.ts";
import type { RunOutput } from "../../run/training/build-run.ts";
import type { StreamRun } from "./stages.ts";

/** Writes the models that a method gives beside the result, each as a checkpoint, or an adapter, of its own. */
export async function saveFurther({ context, model, learner }: StreamRun, { saving }: RunOutput): Promise<void> {
  const further = learner.results?.();
  if (!further || further.each.length === 0) return;
  const folder = furtherFolder(context.out, further.what);
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
