/**
 * `train s3t`: a bank of adapters, trained shard by shard and slice by slice, out of which rows are deleted exactly and
 * without training: unlearn s3t.
 */
import { parseObject } from "../../checkpoint/adapter/config.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import type { Example } from "../../data/examples.ts";
import { groupsOf, parseGroups } from "../../data/groups.ts";
import { rowDigest } from "../../data/row-digest.ts";
import type { Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bind } from "../../method/bind.ts";
import { type BankManifest, type BankOrder, manifestText } from "../../model/adapters/bank/manifest.ts";
import { LORA } from "../../model/adapters/lora/type.ts";
import type { Model } from "../../model/model.ts";
import { placeOf, readBankRows, rowEntries, type Sharing } from "../../run/bank-rows.ts";
import { KeptRuns, type KeptTensor } from "../../run/kept-runs.ts";
import { type DescribedModel, describeModel } from "../../run/open-model.ts";
import { HeldOut, type HeldOutGroup, meanOfGroups, readHeldOut } from "../../run/training/held-out.ts";
import { finetune, type Material } from "../../run/training/short-training.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { humanBytes } from "../../text/format.ts";
import type { S3T } from "../s3t/options.ts";
import { ordersByOdds, rotations } from "../s3t/orders.ts";
import { StagedAdapter } from "../s3t/stages.ts";

type S3tContext = Context<typeof S3T>;
type Row = Example | Sequence;

/** A row and where it is. */
interface Shared {
  readonly row: Row;
  readonly shard: number;
  readonly slice: number;
}

/** How rows are shared out, and the orders of a shard's slices. Throws UserError. */
function planOf({ options, seed }: S3tContext, { sizes, ref }: DescribedModel) {
  const groups = groupsOf(options.data, "--data", options.columns);
  const byGroup = options.slice_by === "group";
  if (byGroup && options.slices !== undefined && options.slices !== groups.length)
    throw new UserError(
      `--slices ${options.slices}, and --slice-by group makes a slice of each of the ${groups.length} groups`,
      "leave out --slices",
    );
  const slices = byGroup ? groups.length : options.slices;
  if (slices === undefined) throw new UserError("--slices is missing", "for example --slices 4");
  if (sizes.layers % slices !== 0)
    throw new UserError(
      `${ref} has ${sizes.layers} layers, which are no ${slices} groups of one size`,
      `choose ${byGroup ? "a number of groups" : "--slices"} that divides the layers`,
    );
  const { deletion_odds: odds, deletions, budget } = options;
  if (odds && odds.length !== slices)
    throw new UserError(`--deletion-odds has ${odds.length} numbers for ${slices} slices`, "give one for each");
  const orders = odds ? ordersByOdds(odds, budget, deletions) : rotations(slices, budget);
  const sharing: Sharing = { shards: options.shards, slices, seed, byGroup };
  return { groups, sharing, orders };
}

/** The weights of a classifier's head, where the architecture does not name its module. */
const headOf = ({ architecture, config, sizes, task }: DescribedModel): string[] => {
  if (task !== "classifier" || architecture.headModules) return [];
  const specs = architecture.parameters(config);
  const own = specs.findLast(({ linear, shape }) => linear && shape[0] === sizes.outputs);
  return own ? [own.name.replace(/\.weight$/, "")] : [];
};

/** Opens the model with a new adapter. */
async function opened(context: S3tContext): Promise<{ begun: Start; described: DescribedModel }> {
  const { options, seed } = context;
  const { lora_rank, lora_alpha = lora_rank, lora_dropout, lora_targets } = options;
  let head: string[] = [];
  const warn = (text: string) => context.warn(text);
  const begun = await start({
    ...{ model: context.args[0] ?? "-", init: undefined, neverNew: true, seed, warn },
    ...{ lora: true, rslora: true, lora_rank, lora_alpha, lora_dropout, lora_targets },
    adapterType: bind({ ...LORA, whole: () => head }, {}),
  });
  context.onExit(() => begun.close());
  const described = await describeModel(begun, options, warn);
  if (described.task !== "classifier" && described.task !== "causal-lm")
    throw new UserError(
      `train s3t learns rows of classifiers and language models, and ${begun.ref} is a ${described.task}`,
    );
  head = headOf(described);
  return { begun, described };
}

/** All that decides what is trained, but for where it is written. */
const settingsOf = ({ options, seed }: S3tContext, begun: Start, rows: readonly Shared[]) => {
  const { parts: _, data: __, eval_data: ___, ...deciding } = options;
  const base = begun.read.map(({ checkpoint }) => checkpoint.headerSha256);
  return { seed, deciding, base, rows: rows.map(({ row, shard, slice }) => [rowDigest(row), shard, slice]) };
};

export async function trainS3t(context: S3tContext): Promise<Outcome> {
  const { options, seed, out, progress } = context;
  const warn = (text: string) => context.warn(text);
  const { begun, described } = await opened(context);
  const { groups, sharing, orders } = planOf(context, described);
  refuseInputs(out, [begun.ref, ...options.data, ...(options.eval_data ?? [])]);
  const read = await readBankRows(groups, described);
  const rows = read.map((row): Shared => ({ row, ...placeOf(row, sharing) }));
  const held = await readHeldOut(
    parseGroups(options.eval_data ?? [], options.columns, "--eval-data"),
    described,
    options.batch_size,
  );
  const runs = Array.from({ length: sharing.shards }, (_, shard) =>
    orders.map((slices, i) => ({ shard, slices, number: shard * orders.length + i })),
  ).flat();
  if (context.dryRun) {
    context.print(
      `${rows.length} rows in ${sharing.shards} shards of ${sharing.slices} slices: ${runs.length} orders, ${runs.length * sharing.slices} stages`,
    );
    context.json({ rows: rows.length, ...counted(sharing), orders: runs.length, stages: runs.length * sharing.slices });
    return {};
  }
  await tryTarget(out);
  const model = await begun.load(await openGpu({ device: context.device }));
  const staged = await StagedAdapter.of(model, sharing.slices);
  const kept = KeptRuns.open(options.parts, "--parts", settingsOf(context, begun, rows));
  progress.start({ total: runs.length * sharing.slices, unit: "stages" });
  const found: { order: BankOrder; tensors: KeptTensor[] }[] = [];
  for (const run of runs) {
    const name = `order-${run.number}`;
    const tensors =
      (await kept.get(name)) ?? (await trainOrder(context, { model, staged, described, held, rows }, run));
    await kept.put(name, tensors);
    const losses = [...(tensors.find(({ name }) => name === LOSSES)?.values ?? [])];
    const own = tensors.filter(({ name }) => name !== LOSSES);
    found.push({ order: { shard: run.shard, slices: run.slices, stages: run.slices.length, losses }, tensors: own });
  }
  progress.done();
  const manifest: BankManifest = {
    ...sharing,
    orders: found.map(({ order }) => order),
    lora: parseObject(new TextEncoder().encode(model.adapter!.config), "the adapter's config"),
  };
  const step = { script: "train s3t", version: context.version, options: context.chosen, seed };
  const data = options.data.map((ref) => ({ ref, role: "data" }));
  const lineage = lineageOf(step, begun.read, warn, data);
  const ledger = new Map(rows.map(({ row, shard, slice }) => [rowDigest(row), { shard, slice }]));
  const tensors = found.flatMap((one) => one.tensors);
  const config = new TextEncoder().encode(manifestText(manifest, begun.under));
  const entries = rowEntries(ledger);
  const writer = await createWriter(out, {
    tensors: [
      ...entries.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes })),
      ...tensors.map(({ name, shape }) => ({ name, shape, dtype: "F32" as const, bytes: 4 * sizeOf(shape) })),
    ],
    files: new Map([["adapter_config.json", config]]),
    lineage,
  });
  try {
    for (const { name, bytes, read: readEntry } of entries) {
      const all = new Uint8Array(bytes);
      await readEntry(all, 0);
      await writer.write(name, all);
    }
    for (const { name, values } of tensors)
      await writer.write(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  kept.remove();
  model.free();
  context.json({ rows: rows.length, ...counted(sharing), orders: found.length, stages: runs.length * sharing.slices });
  return { output: `${out} (${humanBytes(writer.bytes)})`, told: `${found.length} orders of ${sharing.slices} slices` };
}

const counted = ({ shards, slices }: Sharing) => ({ shards, slices });

/** Name of held-out losses beside the tensors of an order. */
const LOSSES = "losses";

interface Trained {
  readonly model: Model;
  readonly staged: StagedAdapter;
  readonly described: DescribedModel;
  readonly held: readonly HeldOutGroup[];
  readonly rows: readonly Shared[];
}

/** Trains the stages of an order, from the start; gives what each trained. */
async function trainOrder(
  context: S3tContext,
  { model, staged, described, held, rows }: Trained,
  { shard, slices, number }: { readonly shard: number; readonly slices: readonly number[]; readonly number: number },
): Promise<KeptTensor[]> {
  const { options, seed, signal, progress } = context;
  const found: KeptTensor[] = [];
  const losses: number[] = [];
  staged.begin();
  for (let stage = 1; stage <= slices.length; stage++) {
    const known = slices.slice(0, stage);
    const own = rows.filter((one) => one.shard === shard && known.includes(one.slice)).map(({ row }) => row);
    staged.enter(stage);
    const { epochs, lr, batch_size: batchSize } = options;
    const material = materialOf(own, described);
    const name = `${described.ref}, shard ${shard}, stage ${stage}`;
    await finetune({ model, ref: name }, material, {
      ...{ rows: own.length, epochs, lr, batchSize, seed, signal },
      rateFlag: "--lr",
    });
    if (held.length > 0) losses.push(await heldLoss(model, held));
    found.push(...(await staged.stored(number, stage)));
    progress.advance(1, `shard ${shard}`);
  }
  return losses.length === 0
    ? found
    : [...found, { name: LOSSES, shape: [losses.length], values: Float32Array.from(losses) }];
}

function materialOf(rows: readonly Row[], { tools }: DescribedModel): Material {
  // Groups have made slices; in a stage all rows are of one kind.
  const texts = rows.flatMap((row) => ("ids" in row ? [{ ...row, group: 0 }] : []));
  if (tools) return { kind: "text", rows: texts, pad: tools.tokenizer?.pad ?? 0 };
  return { kind: "examples", rows: rows.flatMap((row) => ("ids" in row ? [] : [{ ...row, group: 0 }])) };
}

async function heldLoss(model: Model, held: readonly HeldOutGroup[]): Promise<number> {
  const measure = new HeldOut(model, held);
  const loss = meanOfGroups(await measure.losses());
  await measure.free();
  return loss;
}
