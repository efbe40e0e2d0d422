/**
 * A bank of adapters that were trained shard by shard and slice by slice: what its adapter_config.json says.
 *
 * A shard's rows lie in slices. Of each order of a shard's slices the bank holds stages: the k-th was trained on the
 * first k slices and changes the k-th group of layers and the head. So without the rows of the slice at place j, the
 * first j - 1 stages are what they would be. "Towards Scalable Exact Machine Unlearning Using Parameter-Efficient
 * Fine-Tuning", ICLR 2025, https://arxiv.org/abs/2406.16257
 */
import { parseObject } from "../../../checkpoint/adapter/config.ts";
import { BANK_TYPE } from "../../../checkpoint/adapter/format.ts";
import type { Checkpoint } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import { isObject, type JsonObject } from "../../../json.ts";

/** Stages along one order of a shard's slices. */
export interface BankOrder {
  readonly shard: number;
  /** Slices in the order in which they were learnt, from 0. */
  readonly slices: readonly number[];
  /** Stages that are left: of the first so many slices. */
  readonly stages: number;
  /** Held-out loss after each stage, where it was measured. */
  readonly losses: readonly number[];
}

export interface BankManifest {
  readonly shards: number;
  readonly slices: number;
  readonly seed: number;
  /** Whether slices are the groups of the data; else a row's digest chooses them. */
  readonly byGroup: boolean;
  /** adapter_config.json of each stage's LoRA. */
  readonly lora: JsonObject;
  readonly orders: readonly BankOrder[];
}

/** What tensors of a stage, from 1, begin with. */
export const stagePrefix = (order: number, stage: number): string => `order.${order}.stage.${stage}.`;

/** The text of adapter_config.json. */
export function manifestText({ shards, slices, seed, byGroup, lora, orders }: BankManifest, base: unknown): string {
  const json = {
    peft_type: BANK_TYPE,
    base_model_name_or_path: base ?? null,
    ...{ shards, slices, seed, by_group: byGroup, orders, lora },
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

const isCount = (value: unknown, most: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;

const isLosses = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((loss) => typeof loss === "number");

const isPlaces = (value: unknown, slices: number): value is number[] =>
  Array.isArray(value) && value.every((slice) => isCount(slice, slices - 1)) && new Set(value).size === value.length;

function orderOf(value: unknown, shards: number, slices: number): BankOrder | undefined {
  if (!isObject(value)) return undefined;
  const { shard, slices: places, stages, losses } = value;
  const fits = isCount(shard, shards - 1) && isPlaces(places, slices) && isCount(stages, slices) && isLosses(losses);
  return fits && stages <= places.length ? { shard, slices: places, stages, losses } : undefined;
}

/** Reads it. Throws UserError where it is none. */
export function readManifest({ files, ref }: Pick<Checkpoint, "files" | "ref">): BankManifest {
  const where = `${ref}: adapter_config.json`;
  const json = parseObject(files.get("adapter_config.json")!, where);
  const { shards, slices, seed, by_group: byGroup, lora, orders } = json;
  const odd = () => new UserError(`${where} describes no bank of shards`, "name what train s3t wrote");
  if (!isCount(shards, 1e6) || !isCount(slices, 1e6) || typeof seed !== "number" || !isObject(lora)) throw odd();
  if (!Array.isArray(orders)) throw odd();
  const found = orders.map((order) => orderOf(order, shards, slices));
  const known = found.filter((order) => order !== undefined);
  if (known.length !== found.length) throw odd();
  return { shards, slices, seed, byGroup: byGroup === true, lora, orders: known };
}

/** The same without the rows of a slice of a shard: its orders end before that slice. */
export const withoutSlice = (orders: readonly BankOrder[], shard: number, slice: number): BankOrder[] =>
  orders.map((order) => {
    const place = order.slices.indexOf(slice);
    return order.shard === shard && place >= 0 ? { ...order, stages: Math.min(order.stages, place) } : order;
  });

/**
 * By shard the number of the order that answers: the one of most stages, of equals that of least held-out loss, then
 * the first; undefined where none is left.
 */
export function servedOrders({ shards, orders }: Pick<BankManifest, "shards" | "orders">): (number | undefined)[] {
  const lossOf = ({ stages, losses }: BankOrder) => losses[stages - 1] ?? Number.POSITIVE_INFINITY;
  return Array.from({ length: shards }, (_, shard) => {
    let best: number | undefined;
    for (const [i, order] of orders.entries()) {
      if (order.shard !== shard || order.stages === 0) continue;
      const before = best === undefined ? undefined : orders[best]!;
      const isBetter =
        !before || order.stages > before.stages || (order.stages === before.stages && lossOf(order) < lossOf(before));
      if (isBetter) best = i;
    }
    return best;
  });
}
