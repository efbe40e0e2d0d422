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
import type { ClusterCounts } from "../../run/cluster/events.ts";
import {
  agreedSettings,
  coordinate,
  type Taking,
  takingPart,
  tryServer,
  workFor,
} from "../../run/cluster/run-cluster.ts";
import { describeModel } from "../../run/open-model.ts";
import { type ReadRows, readBatches } from "../../run/training/batch-source.ts";
import { HeldOut, type HeldOutGroup, meanOfGroups, readHeldOut } from "../../run/training/held-out.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { type TrainedChoice, writeByteLog } from "../zeroth/byte-log.ts";
import { ZerothJob, type ZerothJobOptions } from "../zeroth/job.ts";
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

/** What all who take part must agree on. */
const agreed = (context: ZoContext, source: ReadRows, job: ZerothJob, weights: string) =>
  agreedSettings(context, job, { order: source.state(), weights });

/** A worker's part: tasks until the run is over. */
async function work(context: ZoContext, taking: Taking, model: Model, source: ReadRows): Promise<Outcome> {
  const { progress, log } = context;
  const job = new ZerothJob(model, source, settingsOf(context, taking));
  const settings = agreed(context, source, job, await job.digest());
  progress.start({ total: job.rounds, unit: "steps" });
  const tasks = await workFor(taking, context, job, settings, {
    async round(step) {
      log.event("step", { step, loss: job.loss });
      progress.advance(1);
    },
    leapt: (steps) => progress.advance(steps),
  });
  progress.done();
  const digest = await job.digest();
  context.json({ tasks, digest });
  job.free();
  model.free();
  return { told: `${tasks} tasks of ${job.rounds} steps` };
}

/** Settings of the job; alone, a task is a step. */
const settingsOf = ({ options, seed }: ZoContext, taking: Taking | undefined): ZerothJobOptions => {
  const { samples, steps, lr, eps, task_samples } = options;
  return { samples, share: taking ? task_samples : samples, steps, lr, eps, seed };
};

/** Takes all steps; what the cluster counted, where there is one. */
async function learn(
  context: ZoContext,
  { job, source, start, taking }: { job: ZerothJob; source: ReadRows; start: string; taking: Taking | undefined },
  after: (step: number) => Promise<unknown>,
): Promise<ClusterCounts | undefined> {
  const { progress, signal, log } = context;
  const heard = async (step: number) => {
    log.event("step", { step, ...(taking ? {} : { loss: job.loss }) });
    await after(step);
    progress.advance(1, "", taking ? "" : `loss ${job.loss.toFixed(4)}`);
    await Bun.sleep(0); // lets Ctrl-C through
  };
  progress.start({ total: job.rounds, unit: "steps" });
  const leapt = (steps: number) => progress.advance(steps);
  if (taking) return coordinate(taking, context, job, agreed(context, source, job, start), { round: heard, leapt });
  await doAlone(job, signal, heard);
  return undefined;
}

export async function zoByte(context: ZoContext): Promise<Outcome> {
  const { options, seed, out, progress } = context;
  const taking = takingPart(options);
  if (options.worker && options.codes !== undefined)
    throw new UserError("--worker writes nothing, and --codes names a file", "leave one of them out");
  const { begun, described, source, held } = await opened(context);
  if (taking && !context.dryRun) await tryServer(taking, context);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await begun.load(gpu);
  const { total, trainable } = model.parameterCount();
  if (trainable === 0) throw new UserError("every weight is frozen", "change --freeze or --train-only");
  const lineage = lineageBy(context, begun);
  const saving = { files: described.files, lineage, warn: (text: string) => context.warn(text) };
  const { samples, steps, lr } = options;
  const passes = 2 * samples * steps;
  const told = `${trainable.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} parameters trained by ${steps} steps of ${samples} bytes, ${passes} forward passes`;
  if (context.dryRun) {
    if (!options.worker) await checkSave(model, out, saving);
    context.print(told);
    context.json({ parameters: { total, trainable }, steps, samples, passes });
    return {};
  }
  if (taking?.worker) return work(context, taking, model, source);
  await tryTarget(out);
  if (options.codes !== undefined) await tryTarget(options.codes);
  context.info(told);
  const job = new ZerothJob(model, source, settingsOf(context, taking));
  const start = await job.digest();
  const watch = watching(context, model, held);
  let heldOut = Number.NaN;
  const counts = await learn(context, { job, source, start, taking }, async (step) => {
    heldOut = (await watch?.after(step)) ?? heldOut;
  });
  progress.done();
  const end = await job.digest();
  const codes = new Uint8Array(Buffer.concat(job.codes));
  const kept = { codes, steps, samples, seed, lr, trained: trainedBy(context), start, end };
  if (options.codes !== undefined) await writeByteLog(options.codes, kept, lineage);
  const bytes = await saveModel(model, out, saving);
  const losses = { ...(taking ? {} : { loss: job.loss }), ...(watch ? { held_out_loss: heldOut } : {}) };
  context.json({ steps, samples, passes, code_bytes: codes.length, ...losses, digest: end, ...counts });
  await watch?.free();
  job.free();
  model.free();
  const found = Object.entries(losses).map(([name, loss]) => `${name.replaceAll("_", " ")} ${loss.toFixed(4)}, `);
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    told: `${found.join("")}${codes.length} bytes`,
  };
}
