/** `train replay`: the result of a zeroth-order training again, from what it began with and its bytes. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { saveModel } from "../../model/save.ts";
import { describeModel } from "../../run/open-model.ts";
import { start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { readByteLog } from "../zeroth/byte-log.ts";
import type { REPLAY } from "../zeroth/options.ts";
import { ByteSteps } from "../zeroth/zeroth-order.ts";

export async function replay(context: Context<typeof REPLAY>): Promise<Outcome> {
  const { options, out, progress, signal } = context;
  const warn = (text: string) => context.warn(text);
  const log = await readByteLog(options.codes);
  const { seed, steps, samples, codes } = log;
  const model = context.args[0] ?? (options.init === undefined ? "-" : undefined);
  const begun = await start({ ...log.trained, model, init: options.init, dtype: "f32", seed, warn });
  context.onExit(() => begun.close());
  refuseInputs(out, [begun.ref, options.codes]);
  const described = await describeModel(begun, {}, warn);
  if (context.dryRun) {
    context.print(`${steps} steps of ${samples} bytes`);
    context.json({ steps, samples });
    return {};
  }
  await tryTarget(out);
  const loaded = await begun.load(await openGpu({ device: context.device }));
  const bytes = new ByteSteps(loaded, log);
  if ((await bytes.digest()) !== log.start)
    throw new UserError(
      `${begun.ref} is not what the bytes of ${options.codes} were trained on`,
      "name the model that train zo-byte began with",
    );
  progress.start({ total: steps, unit: "steps" });
  for (let step = 1; step <= steps; step++) {
    signal.throwIfAborted();
    await bytes.apply(step, codes.subarray((step - 1) * samples, step * samples));
    progress.advance(1);
  }
  progress.done();
  const digest = await bytes.digest();
  if (digest !== log.end)
    throw new UserError(
      `${options.codes} leads to other weights here than where it was made`,
      "the file is damaged, or this GPU adds in another way; take the result itself",
      1,
    );
  const step = { script: "train replay", version: context.version, options: context.chosen, seed: context.seed };
  const lineage = lineageOf(step, begun.read, warn, [...begun.others, { ref: options.codes, role: "codes" }]);
  const written = await saveModel(loaded, out, { files: described.files, lineage, warn });
  bytes.free();
  loaded.free();
  context.json({ steps, samples, digest });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(written)})`,
    told: `${steps} steps, the same weights`,
  };
}
