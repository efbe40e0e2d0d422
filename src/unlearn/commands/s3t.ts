/**
 * `unlearn s3t`: deletes rows from a bank that `train s3t` wrote. Stages that saw a row's slice are dropped, and what
 * is left is, byte for byte, what training without the row gives; nothing is trained.
 */

import { parseObject } from "../../checkpoint/adapter/config.ts";
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { rowDigest } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";
import {
  type BankManifest,
  manifestText,
  readManifest,
  servedOrders,
  stagePrefix,
  withoutSlice,
} from "../../model/adapters/bank/manifest.ts";
import { readBankRows, rowEntries, rowsOfBank } from "../../run/bank-rows.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import type { S3T } from "../s3t-options.ts";

type S3tContext = Context<typeof S3T>;

/** The tensors of stages that are left. */
const keptTensors = ({ tensors }: Checkpoint, { orders }: BankManifest): TensorEntry[] => {
  const prefixes = orders.flatMap(({ stages }, i) => Array.from({ length: stages }, (_, k) => stagePrefix(i, k + 1)));
  return [...tensors.values()].filter(({ name }) => prefixes.some((prefix) => name.startsWith(prefix)));
};

export async function unlearnS3t(context: S3tContext): Promise<Outcome> {
  const { options, out, seed } = context;
  const warn = (text: string) => context.warn(text);
  const ref = context.args[0]!;
  const opened = await openModel(ref, options, warn);
  const { checkpoint } = opened;
  context.onExit(() => checkpoint.close());
  const bank = checkpoint.live;
  if (!bank) throw new UserError(`${ref} is no bank of shards`, "name what train s3t wrote");
  const before = readManifest(bank);
  refuseInputs(out, [bank.ref, ...options.forget]);
  const rows = await rowsOfBank(bank);
  const gone = await readBankRows(groupsOf(options.forget, "--forget", options.columns), opened);
  let { orders } = before;
  for (const row of gone) {
    const digest = rowDigest(row);
    const place = rows.get(digest);
    if (!place)
      throw new UserError(
        `${row.place}: the bank never learnt this row, or it is deleted already`,
        "name rows as they were given to train s3t, with the same --max-length and --template",
      );
    orders = withoutSlice(orders, place.shard, place.slice);
    rows.delete(digest);
  }
  const manifest = { ...before, orders };
  const stages = servedOrders(manifest).map((order) => (order === undefined ? 0 : orders[order]!.stages));
  const spent = stages.filter((count) => count === 0).length;
  const result = { deleted: gone.length, rows: rows.size, stages, spent };
  const told = `${gone.length} rows deleted; stages that answer, by shard: ${stages.join(", ")}`;
  if (context.dryRun) {
    context.print(told);
    context.json(result);
    return {};
  }
  if (spent > 0)
    warn(
      `${spent} of ${before.shards} shards have no order left: their capacity for deletions is spent; train them anew`,
    );
  const step = { script: "unlearn s3t", version: context.version, options: context.chosen, seed };
  const forget = options.forget.map((each) => ({ ref: each, role: "forget" }));
  const entries = [...rowEntries(rows), ...keptTensors(bank, manifest)];
  const { base_model_name_or_path: base } = parseObject(bank.files.get("adapter_config.json")!, bank.ref);
  const writer = await createWriter(out, {
    tensors: entries.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes })),
    files: new Map([["adapter_config.json", new TextEncoder().encode(manifestText(manifest, base))]]),
    lineage: lineageOf(step, [{ checkpoint: bank, role: "bank" }], warn, forget),
  });
  try {
    for (const { name, bytes, read } of entries) {
      const all = new Uint8Array(bytes);
      await read(all, 0);
      await writer.write(name, all);
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  context.json(result);
  return { output: `${out} (${humanBytes(writer.bytes)})`, told };
}
