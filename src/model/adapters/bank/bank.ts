/** A bank of adapters at work: one adapter for every shard that has an order left, whose answers are averaged. */

import { viewEntry } from "../../../checkpoint/adapter/entries.ts";
import { BANK_TYPE } from "../../../checkpoint/adapter/format.ts";
import type { Checkpoint, TensorEntry } from "../../../checkpoint/checkpoint.ts";
import { UserError } from "../../../errors.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { AdapterType } from "../contract.ts";
import type { AdapterTensor, LiveAdapter } from "../live-adapter.ts";
import { continueLora } from "../lora/continue.ts";
import { type BankManifest, readManifest, servedOrders, stagePrefix } from "./manifest.ts";

/** The adapter of an order as a file of its own: factors of its stages, the head of the last one. */
export function orderFile(bank: Checkpoint, { lora, orders }: BankManifest, order: number): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  for (let stage = 1; stage <= orders[order]!.stages; stage++) {
    const prefix = stagePrefix(order, stage);
    for (const [name, entry] of bank.tensors)
      if (name.startsWith(prefix)) {
        const own = name.slice(prefix.length);
        tensors.set(own, viewEntry(entry, { name: own }));
      }
  }
  const config = new TextEncoder().encode(`${JSON.stringify(lora, null, 2)}\n`);
  return {
    ...bank,
    ref: `${bank.ref} (order ${order})`,
    tensors,
    files: new Map([["adapter_config.json", config]]),
    close() {},
  };
}

class BankAdapter implements LiveAdapter {
  readonly config: string;
  readonly members: readonly LiveAdapter[];
  readonly whole: ReadonlyMap<string, Parameter> = new Map();

  constructor(config: string, members: readonly LiveAdapter[]) {
    this.config = config;
    this.members = members;
  }

  withWhole(): LiveAdapter {
    return this;
  }

  stored(): AdapterTensor[] {
    throw new UserError("a bank of shards is trained by train s3t alone", "leave it out of the model that is trained");
  }

  tensors(): Parameter[] {
    return this.members.flatMap((member) => member.tensors());
  }

  parameters(): Parameter[] {
    return [];
  }

  // Passes are recorded by the members.
  changes = (): boolean => false;
  linear = (): undefined => undefined;
  experts = (): undefined => undefined;
  embed = (): undefined => undefined;
  note: LiveAdapter["note"] = (_, __, x) => x;

  free(): void {
    for (const member of this.members) member.free();
  }
}

/** The type of a bank's file; no option makes one, `train s3t` does. */
export const BANK: AdapterType = {
  name: "s3t",
  title: "Bank of shards",
  about: "adapters trained shard by shard and slice by slice",
  cite: "arXiv:2406.16257",
  options: {},
  peftType: BANK_TYPE,
  async fresh() {
    throw new UserError("a bank of shards is trained by train s3t");
  },
  async continued(_, from, { gpu, model, warn }) {
    const manifest = readManifest(from);
    const served = servedOrders(manifest);
    const left = served.filter((order) => order !== undefined);
    if (left.length === 0)
      throw new UserError(
        `${from.ref}: no order of any shard is left, its capacity for deletions is spent`,
        "train the bank again on the rows that are left",
      );
    if (left.length < manifest.shards)
      warn(
        `${from.ref}: ${manifest.shards - left.length} of ${manifest.shards} shards have no order left and do not answer`,
      );
    const members: LiveAdapter[] = [];
    for (const order of left)
      members.push(await continueLora(gpu, model, orderFile(from, manifest, order), { dropout: 0, warn }));
    return new BankAdapter(new TextDecoder().decode(from.files.get("adapter_config.json")!), members);
  },
};
