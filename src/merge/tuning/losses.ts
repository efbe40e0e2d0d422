/** Losses by which coefficients are learnt, by name. */
import type { TuneLoss } from "./loss.ts";
import { loss as ce } from "./losses/ce.ts";
import { loss as entropy } from "./losses/entropy.ts";
import { loss as infonce } from "./losses/infonce.ts";
import { loss as kd } from "./losses/kd.ts";

export const LOSSES = { entropy, ce, kd, infonce } satisfies Record<string, TuneLoss>;

export type LossName = keyof typeof LOSSES;
