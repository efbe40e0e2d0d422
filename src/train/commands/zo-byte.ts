/** `train zo-byte`: training by forward passes alone, of which a byte a sample is all that has to be known. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { checkSave, saveModel } from "../../model/save.ts";
import { doAlone } from "../../run/cluster/contract.ts";
import { describeModel } from "../../run/open-model.ts";
import { readBatches } from "../../run/training/batch-source.ts";
import { HeldOut, type HeldOutGroup, meanOfGroups, readHeldOut } from "../../run/training/held-out.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { type TrainedChoice, writeByteLog } from "../zeroth/byte-log.ts";
import { ZerothJob } from "../zeroth/job.ts";
import type { ZO_BYTE } from "../zeroth/options.ts";

type ZoContext = Context<typeof ZO_BYTE>;

const trainedBy = ({ options }: ZoContext): TrainedChoice => {
  const { lora, lora_rank, lora_alpha, lora_targets, freeze, train_only } = options;
  return { lora, lora_rank, lora_alpha, lora_targets, freeze, train_only };
};

/** Opens the model and the rows. Throws UserError. */
async function opened(context: ZoContext) {
  const { options, seed, out } = context;
  const warn = (text: string) => context.warn(text);
  const model = context.args[0] ?? (options.init === undefined ? "-" : undefined);
  const begun = await start({ ...trainedBy(context), model, init: options.init, dtype: "f32", seed, warn });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, options, warn);
  if (described.task !== "causal-lm" && described.task !== "classifier")
    throw new UserError(
      `train zo-byte learns labels, and ${begun.ref} is a ${described.task}`,
      "name a language model or a classifier",
    );
  const files = [...options.data, ...(options.eval_data ?? [])];
  refuseInputs(out, [begun.ref, ...files]);
  if (options.codes !== undefined) refuseInputs(options.codes, [begun.ref, ...files], "--codes");
  const order = { batchSize: options.batch_size, seed };
  const source = await readBatches(options, { ...described, order });
  const groups = parseGroups(options.eval_data ?? [], options.columns, "--eval-data");
  const held = await readHeldOut(groups, described, options.batch_size);
  return { begun, described, source, held };
}

/** What is measured on held-out rows now and then; undefined without any. */
function watching({ options, log }: ZoContext, model: Model, held: readonly HeldOutGroup[]) {
  if (held.length === 0) return undefined;
  const measure = new HeldOut(model, held);
  let latest = Number.NaN;
  return {
    async after(step: number): Promise<number> {
      const { eval_every: every, steps } = options;
      if (step !== steps && (every === 0 || step % every !== 0)) return latest;
      latest = meanOfGroups(await measure.losses());
      log.event("eval", { step, loss: latest });
      return latest;
    },
    free: () => measure.free(),
  };
}

function lineageBy(context: ZoContext, begun: Start) {
  const { options, seed, version, chosen } = context;
  const step = { script: "train zo-byte", version, options: chosen, seed };
  const data = [...options.data, ...(options.eval_data ?? [])].map((ref) => ({ ref, role: "data" }));
  return lineageOf(step, begun.read, (text) => context.warn(text), [...begun.others, ...data]);
}

export async function zoByte(context: ZoContext): Promise<Outcome> {
  const { options, seed, out, progress, signal, log } = context;
  const { begun, described, source, held } = await opened(context);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await begun.load(gpu);
  const { total, trainable } = model.parameterCount();
  if (trainable === 0) throw new UserError("every weight is frozen", "change --freeze or --train-only");
  const lineage = lineageBy(context, begun);
  const saving = { files: described.files, lineage, warn: (text: string) => context.warn(text) };
  const passes = 2 * options.samples * options.steps;
  const told = `${trainable.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} parameters trained by ${options.steps} steps of ${options.samples} bytes, ${passes} forward passes`;
  if (context.dryRun) {
    await checkSave(model, out, saving);
    context.print(told);
    context.json({ parameters: { total, trainable }, steps: options.steps, samples: options.samples, passes });
    return {};
  }
  await tryTarget(out);
  if (options.codes !== undefined) await tryTarget(options.codes);
  context.info(told);
  const { samples, steps, lr, eps } = options;
  const job = new ZerothJob(model, source, { samples, share: samples, steps, lr, eps, seed });
  const start = await job.digest();
  const watch = watching(context, model, held);
  let heldOut = Number.NaN;
  progress.start({ total: steps, unit: "steps" });
  await doAlone(job, signal, async (step) => {
    log.event("step", { step, loss: job.loss });
    heldOut = (await watch?.after(step)) ?? heldOut;
    progress.advance(1, "", `loss ${job.loss.toFixed(4)}`);
    await Bun.sleep(0); // lets Ctrl-C through
  });
  progress.done();
  const end = await job.digest();
  const codes = new Uint8Array(Buffer.concat(job.codes));
  if (options.codes !== undefined)
    await writeByteLog(
      options.codes,
      { codes, steps, samples, seed, lr, trained: trainedBy(context), start, end },
      lineage,
    );
  const bytes = await saveModel(model, out, saving);
  const losses = { loss: job.loss, ...(watch ? { held_out_loss: heldOut } : {}) };
  context.json({ steps, samples, passes, code_bytes: codes.length, ...losses, digest: end });
  await watch?.free();
  job.free();
  model.free();
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `loss ${job.loss.toFixed(4)}${watch ? `, held-out loss ${heldOut.toFixed(4)}` : ""}, ${codes.length} bytes`,
  };
}
