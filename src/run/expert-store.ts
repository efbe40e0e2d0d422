/**
 * Options of models whose experts do not fit: so many are on the device, the others in the file or the host's memory.
 * Hecate (fully sharded sparse data parallelism), 2025; policies of Paging with Succinct Predictions, 2023.
 */
import { UserError } from "../errors.ts";
import type { Options, Values } from "../method/options.ts";
import type { PageStoreOptions } from "../tensor/paging/page-kind.ts";

export const EXPERT_STORE = {
  expert_store: {
    type: "'memory' | 'stream'",
    default: "memory",
    decides: "nothing",
    help: "where the experts of a mixture are: all in the GPU's memory, or some of them, and the others in the file or on the host",
  },
  expert_slots: {
    type: "number.integer >= 1",
    default: 8,
    decides: "nothing",
    with: { expert_store: "stream" },
    help: "experts that are in the GPU's memory, of all layers together",
    value: "S",
  },
  cache_policy: {
    type: "'lru' | 'mark' | 'mark-predict' | 'oracle'",
    default: "mark-predict",
    decides: "nothing",
    with: { expert_store: "stream" },
    help: "which expert makes room: used longest ago, by chance, by chance of those of little load of late, or used last in this pass",
  },
} as const satisfies Options;

/** Where experts are; undefined: in memory. Throws UserError where layers are on the disk already. */
export function expertStore(
  { expert_store: store, expert_slots: slots, cache_policy: policy }: Values<typeof EXPERT_STORE>,
  seed: number,
  offload = false,
): PageStoreOptions | undefined {
  if (store === "memory") return undefined;
  if (offload)
    throw new UserError(
      "--offload reads all weights of a layer for every batch, its experts too",
      "leave one of them out",
    );
  return { slots, policy, seed };
}
